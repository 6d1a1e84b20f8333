namespace Dispatch.Storage.Sqlite;

/// <summary>Statements that follow from a table's columns. Their parameters are numbered like these.</summary>
internal static class Sql
{
    internal static string Insert(string table, string columns) => $"INSERT INTO {Values(table, columns)}";

    /// <summary>A row with the same key goes.</summary>
    internal static string Replace(string table, string columns) => $"INSERT OR REPLACE INTO {Values(table, columns)}";

    private static string Values(string table, string columns) =>
        $"{table} ({columns}) VALUES ({string.Join(", ", columns.Split(", ").Select((_, n) => $"?{n + 1}"))})";
}
