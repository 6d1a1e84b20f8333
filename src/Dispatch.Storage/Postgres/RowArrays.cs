using System.Text;
using Dispatch.Events;
using Dispatch.Storage.Rows;
using Npgsql;
using NpgsqlTypes;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// Rows of one table on their way into one statement: a list for each column. A column that is NULL in every row costs nothing: it is not sent.
/// Used by one thread at a time.
/// </summary>
internal sealed class RowArrays : IRowParameters
{
    private const int ChunkBytes = 1 << 16;

    private readonly List<long?>[] numbers;
    private readonly List<bool?>[] flags;
    private readonly List<Guid?>[] ids;
    private readonly List<ReadOnlyMemory<byte>?>[] bytes;
    private readonly ColumnType[] types;

    // Texts of a batch lie in few pieces of memory. What was handed out stays valid when a piece is full.
    private byte[] chunk = new byte[ChunkBytes];
    private int used;

    /// <param name="columns">Names, separated by a comma and a space: parameter 1 is the first.</param>
    /// <param name="typeOf">The type of a column of the table.</param>
    internal RowArrays(string columns, Func<string, ColumnType> typeOf)
    {
        Columns = columns.Split(", ");
        if (Columns.Length > 64)
            throw new ArgumentException($"{Columns.Length} columns are more than 64.");
        types = [.. Columns.Select(typeOf)];
        numbers = Lists<long?>(ColumnType.Number);
        flags = Lists<bool?>(ColumnType.Flag);
        ids = Lists<Guid?>(ColumnType.Id);
        bytes = [.. types.Select(type => type is ColumnType.Text or ColumnType.Bytes ? new List<ReadOnlyMemory<byte>?>() : null!)];
    }

    internal string[] Columns { get; }

    /// <summary>Rows that are complete.</summary>
    internal int Count { get; private set; }

    /// <summary>The columns that are not NULL in every row, one bit each.</summary>
    internal ulong Filled { get; private set; }

    public void Bind(int index, long value) => Add(numbers[index - 1], index, value);

    public void Bind(int index, long? value)
    {
        if (value is not null)
            Add(numbers[index - 1], index, value);
    }

    public void Bind(int index, bool value) => Add(flags[index - 1], index, value);

    public void Bind(int index, string? value)
    {
        if (value is null)
            return;
        value = PostgresText.Encode(value);
        var room = value.Length <= 512 ? value.Length * 3 : Encoding.UTF8.GetByteCount(value);
        var place = Take(room);
        var length = Encoding.UTF8.GetBytes(value, place.Span);
        used -= room - length;
        Add(bytes[index - 1], index, place[..length]);
    }

    public void Bind(int index, Guid value) => Add(ids[index - 1], index, value);

    public void Bind(int index, JsonBytes? value)
    {
        if (value is not null)
            Add(bytes[index - 1], index, value.Memory);
    }

    public void BindText(int index, ReadOnlySpan<byte> utf8)
    {
        var place = Take(utf8.Length);
        utf8.CopyTo(place.Span);
        Add(bytes[index - 1], index, place);
    }

    public void BindBlob(int index, ReadOnlySpan<byte> value) => BindText(index, value);

    /// <summary>Ends a row; what was not bound of it is NULL.</summary>
    internal void Next() => Count++;

    /// <summary>Adds the lists that hold anything, in the order of the columns.</summary>
    internal void AddTo(NpgsqlParameterCollection parameters)
    {
        for (var n = 0; n < Columns.Length; n++)
        {
            if ((Filled & (1UL << n)) == 0)
                continue;
            var (type, list) = types[n] switch
            {
                ColumnType.Number => (NpgsqlDbType.Bigint, (object)numbers[n]),
                ColumnType.Flag => (NpgsqlDbType.Boolean, flags[n]),
                ColumnType.Id => (NpgsqlDbType.Uuid, ids[n]),
                ColumnType.Text => (NpgsqlDbType.Text, bytes[n]),
                _ => (NpgsqlDbType.Bytea, bytes[n]),
            };
            parameters.Add(new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.Array | type, Value = list });
        }
    }

    /// <summary>Forgets all rows. What was handed to a command must have been sent.</summary>
    internal void Clear()
    {
        for (var n = 0; n < Columns.Length && Count > 0; n++)
        {
            numbers[n]?.Clear();
            flags[n]?.Clear();
            ids[n]?.Clear();
            bytes[n]?.Clear();
        }

        (Count, Filled, used) = (0, 0, 0);
    }

    // A list is as long as its last value: the rest is NULL without being said.
    private void Add<T>(List<T?> list, int index, T? value)
        where T : struct
    {
        while (list.Count < Count)
            list.Add(null);
        if (list.Count > Count)
            list[Count] = value;
        else
            list.Add(value);
        Filled |= 1UL << (index - 1);
    }

    private Memory<byte> Take(int room)
    {
        if (room > chunk.Length - used)
            (chunk, used) = (new byte[Math.Max(ChunkBytes, Math.Max(room, Math.Min(chunk.Length * 2, 1 << 20)))], 0);
        var place = chunk.AsMemory(used, room);
        used += room;
        return place;
    }

    private List<T>[] Lists<T>(ColumnType wanted) => [.. types.Select(type => type == wanted ? new List<T>() : null!)];
}

/// <summary>What a column holds.</summary>
internal enum ColumnType
{
    /// <summary>bigint</summary>
    Number,

    /// <summary>boolean</summary>
    Flag,

    /// <summary>uuid</summary>
    Id,

    /// <summary>text</summary>
    Text,

    /// <summary>bytea</summary>
    Bytes,
}
