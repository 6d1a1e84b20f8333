using System.Runtime.CompilerServices;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Statements with parameters bound by number, and their rows.</summary>
internal static class Querying
{
    /// <summary>The rows of a query, one after another; a row is valid until the next.</summary>
    internal static async IAsyncEnumerable<PostgresRow> QueryAsync(
        this NpgsqlConnection connection, string sql, [EnumeratorCancellation] CancellationToken cancel, Action<PostgresParameters>? bind = null, bool isLong = false)
    {
        await using var command = Make(connection, sql, bind);
        if (isLong)
            command.CommandTimeout = 0;
        await using var reader = await command.ExecuteReaderAsync(cancel);
        var row = new PostgresRow(reader);
        while (await reader.ReadAsync(cancel))
            yield return row;
    }

    /// <summary>All rows of a query.</summary>
    internal static async Task<List<T>> ListAsync<T>(
        this NpgsqlConnection connection, string sql, Func<PostgresRow, T> read, CancellationToken cancel, Action<PostgresParameters>? bind = null, bool isLong = false)
    {
        var found = new List<T>();
        await foreach (var row in connection.QueryAsync(sql, cancel, bind, isLong))
            found.Add(read(row));
        return found;
    }

    /// <summary>Runs one or several statements; several take no parameters.</summary>
    /// <returns>Rows that were changed.</returns>
    internal static async Task<int> ExecuteAsync(this NpgsqlConnection connection, string sql, CancellationToken cancel, Action<PostgresParameters>? bind = null)
    {
        await using var command = Make(connection, sql, bind);
        return await command.ExecuteNonQueryAsync(cancel);
    }

    private static NpgsqlCommand Make(NpgsqlConnection connection, string sql, Action<PostgresParameters>? bind)
    {
        var command = new NpgsqlCommand(sql, connection);
        bind?.Invoke(new PostgresParameters(command.Parameters));
        return command;
    }
}
