using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// The rows that a batch writes to one table, in one statement. Its text follows from which columns hold anything; there are few such forms, and the server keeps
/// them prepared.
/// </summary>
internal sealed class TableWriter
{
    private readonly Func<TableWriter, string> form;
    private readonly Dictionary<ulong, string> statements = [];

    private TableWriter(string table, RowArrays rows, Func<TableWriter, string> form)
    {
        (Table, Rows, this.form) = (table, rows, form);
    }

    internal string Table { get; }

    /// <summary>What is to be written. Bind, then <see cref="RowArrays.Next"/>.</summary>
    internal RowArrays Rows { get; }

    /// <summary>New rows.</summary>
    internal static TableWriter Insert(string table, string columns, ColumnTypes types) => new(table, types.Rows(table, columns), static to => to.InsertInto());

    /// <summary>New rows, or what they say where there is one by that key.</summary>
    internal static TableWriter Replace(string table, string columns, string key, ColumnTypes types)
    {
        var keys = key.Split(", ");
        var set = string.Join(", ", columns.Split(", ").Except(keys).Select(column => $"{column} = excluded.{column}"));
        return new(table, types.Rows(table, columns), to => $"{to.InsertInto()} ON CONFLICT ({key}) DO {(set.Length == 0 ? "NOTHING" : $"UPDATE SET {set}")}");
    }

    /// <summary>Other values in rows by their number. The batch fails when one of them is not there.</summary>
    internal static TableWriter Update(string table, string columns, IEnumerable<string> changed, ColumnTypes types) => new(table, types.Rows(table, columns), to =>
    {
        var sent = to.Sent().ToHashSet(StringComparer.Ordinal);
        var set = changed.Select(column => sent.Contains(column) ? $"{column} = u.{column}" : $"{column} = NULL");
        return $"""
            WITH changed AS (UPDATE {table} t SET {string.Join(", ", set)} FROM (SELECT {to.Lists(named: true)}) u WHERE t.number = u.number RETURNING 1)
            SELECT demand_rows(count(*), ${to.Sent().Count() + 1}, '{table}') FROM changed
            """;
    })
    { CountsRows = true };

    /// <summary>
    /// New rows by a key that only an event no longer kept may have used before: with its row still there, that is taken over. The batch fails
    /// when another has the key.
    /// </summary>
    internal static TableWriter Claim(string table, string columns, string key, ColumnTypes types) => new(table, types.Rows(table, columns), to =>
        $"""
        WITH claimed AS ({to.InsertInto()} ON CONFLICT ({key}) DO UPDATE SET hash = excluded.hash, sequence = excluded.sequence WHERE {table}.sequence < ${to.Sent().Count() + 2} RETURNING 1)
        SELECT demand_rows(count(*), ${to.Sent().Count() + 1}, '{table}') FROM claimed
        """)
    { CountsRows = true, NeedsHorizon = true };

    private bool CountsRows { get; init; }

    private bool NeedsHorizon { get; init; }

    /// <summary>Adds the statement, if there are rows.</summary>
    /// <param name="horizon">Sequence of the oldest event that is kept.</param>
    internal void AddTo(NpgsqlBatch batch, long horizon)
    {
        if (Rows.Count == 0)
            return;
        if (!statements.TryGetValue(Rows.Filled, out var sql))
            statements.Add(Rows.Filled, sql = form(this));
        var command = new NpgsqlBatchCommand(sql);
        Rows.AddTo(command.Parameters);
        if (CountsRows)
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = Rows.Count });
        if (NeedsHorizon)
            command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = horizon });
        batch.BatchCommands.Add(command);
    }

    private string InsertInto() => $"INSERT INTO {Table} ({string.Join(", ", Sent())}) SELECT {Lists(named: false)}";

    private IEnumerable<string> Sent() => Rows.Columns.Where((_, n) => (Rows.Filled & (1UL << n)) != 0);

    // Several lists side by side in SELECT: rows come one by one, and a shorter list goes on with NULL.
    private string Lists(bool named) => string.Join(", ", Sent().Select((column, n) => $"unnest(${n + 1}){(named ? $" AS {column}" : "")}"));
}

/// <summary>What the columns of the schema's tables hold, as the server tells.</summary>
internal sealed class ColumnTypes
{
    private readonly Dictionary<(string Table, string Column), ColumnType> types = [];

    internal static async Task<ColumnTypes> LoadAsync(NpgsqlConnection connection, string schema, CancellationToken cancel)
    {
        var known = new ColumnTypes();
        await foreach (var row in connection.QueryAsync(
            """
            SELECT c.relname::text, a.attname::text, a.atttypid::regtype::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
            """, cancel, row => row.Bind(1, schema)))
        {
            known.types.Add((row.Text(0), row.Text(1)), row.Text(2) switch
            {
                "bigint" => ColumnType.Number,
                "boolean" => ColumnType.Flag,
                "uuid" => ColumnType.Id,
                "bytea" => ColumnType.Bytes,
                _ => ColumnType.Text,
            });
        }

        return known;
    }

    /// <summary>Empty rows for these columns of a table.</summary>
    internal RowArrays Rows(string table, string columns) => new(columns, column => types[(table, column)]);
}
