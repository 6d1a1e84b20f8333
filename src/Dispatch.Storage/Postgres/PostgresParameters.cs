using System.Text;
using Dispatch.Events;
using Dispatch.Storage.Rows;
using Npgsql;
using NpgsqlTypes;

namespace Dispatch.Storage.Postgres;

/// <summary>The parameters of one statement, bound in any order.</summary>
internal sealed class PostgresParameters(NpgsqlParameterCollection parameters) : IRowParameters
{
    public void Bind(int index, long value) => Set(index, NpgsqlDbType.Bigint, value);

    public void Bind(int index, long? value) => Set(index, NpgsqlDbType.Bigint, value);

    public void Bind(int index, bool value) => Set(index, NpgsqlDbType.Boolean, value);

    public void Bind(int index, string? value) => Set(index, NpgsqlDbType.Text, value is null ? null : PostgresText.Encode(value));

    public void Bind(int index, Guid value) => Set(index, NpgsqlDbType.Uuid, value);

    public void Bind(int index, JsonBytes? value) => Set(index, NpgsqlDbType.Text, value?.ToString());

    public void BindText(int index, ReadOnlySpan<byte> utf8) => Set(index, NpgsqlDbType.Text, Encoding.UTF8.GetString(utf8));

    public void BindBlob(int index, ReadOnlySpan<byte> value) => Set(index, NpgsqlDbType.Bytea, value.ToArray());

    /// <summary>A list of numbers.</summary>
    internal void Bind(int index, long[] values) => Set(index, NpgsqlDbType.Array | NpgsqlDbType.Bigint, values);

    /// <summary>A list of texts.</summary>
    internal void Bind(int index, IEnumerable<string> values) => Set(index, NpgsqlDbType.Array | NpgsqlDbType.Text, values.Select(PostgresText.Encode).ToArray());

    /// <summary>A list of ids.</summary>
    internal void Bind(int index, Guid[] values) => Set(index, NpgsqlDbType.Array | NpgsqlDbType.Uuid, values);

    private void Set(int index, NpgsqlDbType type, object? value)
    {
        while (parameters.Count < index)
            parameters.Add(new NpgsqlParameter());
        parameters[index - 1].NpgsqlDbType = type;
        parameters[index - 1].Value = value ?? DBNull.Value;
    }
}
