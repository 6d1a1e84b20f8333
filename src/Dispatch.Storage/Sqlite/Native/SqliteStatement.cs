using System.Runtime.CompilerServices;
using System.Text;
using Dispatch.Events;
using Dispatch.Storage.Rows;

namespace Dispatch.Storage.Sqlite.Native;

/// <summary>
/// A prepared statement. Used by one thread at a time, together with its connection.
/// Parameters count from 1, columns from 0, as in SQLite. After <see cref="Reset"/> every parameter is NULL again:
/// a bind that was forgotten gives NULL, never the value of an earlier row.
/// </summary>
internal sealed unsafe class SqliteStatement : IStoredRow, IRowParameters, IDisposable
{
    private readonly SqliteConnection connection;
    private readonly BindingBuffer bytes = new();
    private nint handle;

    internal SqliteStatement(SqliteConnection connection, nint handle, string sql)
    {
        this.connection = connection;
        this.handle = handle;
        Sql = sql;
        ColumnCount = Sqlite3.ColumnCount(handle);
        ParameterCount = Sqlite3.ParameterCount(handle);
    }

    public string Sql { get; }

    public int ColumnCount { get; }

    public int ParameterCount { get; }

    public void Bind(int index, long value) => Check(Sqlite3.BindInt64(handle, index, value));

    public void Bind(int index, long? value)
    {
        if (value is { } number)
            Bind(index, number);
    }

    public void Bind(int index, double value) => Check(Sqlite3.BindDouble(handle, index, value));

    public void Bind(int index, bool value) => Bind(index, value ? 1L : 0L);

    /// <summary>Binds text, or NULL for null. The characters are copied as UTF-8; a lone surrogate becomes U+FFFD.</summary>
    public void Bind(int index, string? value)
    {
        if (value is null)
            return;

        // The worst case is cheaper than counting first, as long as it is small.
        var room = value.Length <= 512 ? value.Length * 3 : Encoding.UTF8.GetByteCount(value);
        var place = bytes.Take(room);
        var length = Encoding.UTF8.GetBytes(value, new Span<byte>(place, room));
        bytes.Return(place, room, room - length);
        Check(Sqlite3.BindText(handle, index, place, length, Sqlite3.Static));
    }

    /// <summary>Binds an id as its 36 characters.</summary>
    public void Bind(int index, Guid value)
    {
        const int length = 36;
        var place = bytes.Take(length);
        _ = value.TryFormat(new Span<byte>(place, length), out _);
        Check(Sqlite3.BindText(handle, index, place, length, Sqlite3.Static));
    }

    /// <summary>Binds a JSON value as its text, or NULL for null.</summary>
    public void Bind(int index, JsonBytes? value)
    {
        if (value is not null)
            BindText(index, value.Span);
    }

    /// <summary>Binds text that is UTF-8 already. The bytes are copied.</summary>
    public void BindText(int index, ReadOnlySpan<byte> utf8)
    {
        var place = bytes.Take(utf8.Length);
        utf8.CopyTo(new Span<byte>(place, utf8.Length));
        Check(Sqlite3.BindText(handle, index, place, utf8.Length, Sqlite3.Static));
    }

    /// <summary>Binds bytes that are not text. The bytes are copied.</summary>
    public void BindBlob(int index, ReadOnlySpan<byte> value)
    {
        var place = bytes.Take(value.Length);
        value.CopyTo(new Span<byte>(place, value.Length));
        Check(Sqlite3.BindBlob(handle, index, place, value.Length, Sqlite3.Static));
    }

    public void BindNull(int index)
    {
        // Already so since the last reset; still checked, because a wrong index is a bug in the SQL.
        if ((uint)(index - 1) >= (uint)ParameterCount)
            throw new ArgumentOutOfRangeException(nameof(index));
    }

    /// <summary>Goes to the next row. False when there is none.</summary>
    public bool Step()
    {
        var code = Sqlite3.Step(handle);
        if (code == Sqlite3.Row)
            return true;
        if (code == Sqlite3.Done)
            return false;
        throw Failed(code);
    }

    /// <summary>Runs a statement that gives no rows and makes it ready for the next row's parameters.</summary>
    public void Execute()
    {
        var code = Sqlite3.Step(handle);
        if (code == Sqlite3.Row)
        {
            Reset();
            throw new InvalidOperationException($"The statement gave a row where none was expected: {Sql}");
        }

        if (code != Sqlite3.Done)
            throw Failed(code);
        Reset();
    }

    /// <summary>Ends the run, whether or not it came to its end, and forgets every parameter.</summary>
    public void Reset()
    {
        ObjectDisposedException.ThrowIf(handle == 0, this);
        // The code repeats what Step already threw.
        _ = Sqlite3.Reset(handle);
        _ = Sqlite3.ClearBindings(handle);
        bytes.Clear();
    }

    public bool IsNull(int column) => Sqlite3.ColumnType(handle, column) == Sqlite3.TypeNull;

    public long Int64(int column) => Sqlite3.ColumnInt64(handle, column);

    public int Int32(int column) => checked((int)Sqlite3.ColumnInt64(handle, column));

    public bool Boolean(int column) => Sqlite3.ColumnInt64(handle, column) != 0;

    public long? NullableInt64(int column) => IsNull(column) ? null : Int64(column);

    public int? NullableInt32(int column) => IsNull(column) ? null : Int32(column);

    public double Double(int column) => Sqlite3.ColumnDouble(handle, column);

    /// <summary>The column's text as UTF-8, empty for NULL. Valid until the next <see cref="Step"/> or <see cref="Reset"/>.</summary>
    public ReadOnlySpan<byte> Utf8(int column)
    {
        // The order matters: the text call may convert the value, and only then is the length the text's.
        var text = Sqlite3.ColumnText(handle, column);
        return text == null ? [] : new ReadOnlySpan<byte>(text, Sqlite3.ColumnBytes(handle, column));
    }

    /// <summary>The column's bytes, empty for NULL. Valid until the next <see cref="Step"/> or <see cref="Reset"/>.</summary>
    public ReadOnlySpan<byte> Blob(int column)
    {
        var blob = Sqlite3.ColumnBlob(handle, column);
        return blob == null ? [] : new ReadOnlySpan<byte>(blob, Sqlite3.ColumnBytes(handle, column));
    }

    /// <summary>The column's text; empty for NULL.</summary>
    public string Text(int column) => Encoding.UTF8.GetString(Utf8(column));

    public string? NullableText(int column) => IsNull(column) ? null : Text(column);

    /// <summary>The column's text as a JSON value; null for NULL.</summary>
    public JsonBytes? NullableJson(int column) => IsNull(column) ? null : new JsonBytes(Utf8(column).ToArray());

    public void Dispose()
    {
        if (handle == 0)
            return;

        // Its code is that of the last run, not of the finalising.
        _ = Sqlite3.Finalize(handle);
        handle = 0;
        bytes.Free();
        connection.Forget(this);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Check(int code)
    {
        if (code != Sqlite3.Ok)
            throw Failed(code);
    }

    private SqliteException Failed(int code)
    {
        var failure = connection.Failure(code, Sql);
        Reset();
        return failure;
    }
}
