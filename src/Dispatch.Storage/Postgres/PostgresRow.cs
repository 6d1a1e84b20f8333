using System.Text;
using Dispatch.Events;
using Dispatch.Storage.Rows;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>The current row of a query.</summary>
/// <param name="reader">Where it is read from.</param>
/// <param name="first">The column of the query that is column 0 here.</param>
internal sealed class PostgresRow(NpgsqlDataReader reader, int first = 0) : IStoredRow
{
    /// <summary>The same row, from another column on.</summary>
    internal PostgresRow From(int column) => new(reader, first + column);

    public bool IsNull(int column) => reader.IsDBNull(first + column);

    public long Int64(int column) => IsNull(column) ? 0 : reader.GetInt64(first + column);

    public int Int32(int column) => checked((int)Int64(column));

    public bool Boolean(int column) => !IsNull(column) && reader.GetBoolean(first + column);

    public long? NullableInt64(int column) => IsNull(column) ? null : reader.GetInt64(first + column);

    public ReadOnlySpan<byte> Utf8(int column)
    {
        if (IsNull(column))
            return [];
        return reader.GetFieldType(first + column) == typeof(Guid)
            ? Encoding.UTF8.GetBytes(reader.GetGuid(first + column).ToString())
            : PostgresText.Decode(reader.GetFieldValue<byte[]>(first + column));
    }

    public ReadOnlySpan<byte> Blob(int column) => IsNull(column) ? [] : reader.GetFieldValue<byte[]>(first + column);

    public string Text(int column) => NullableText(column) ?? "";

    public string? NullableText(int column) => IsNull(column) ? null : PostgresText.Decode(reader.GetString(first + column));

    public JsonBytes? NullableJson(int column) => IsNull(column) ? null : new JsonBytes(reader.GetFieldValue<byte[]>(first + column));
}
