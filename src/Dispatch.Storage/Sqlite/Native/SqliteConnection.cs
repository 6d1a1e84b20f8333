using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Dispatch.Storage.Sqlite.Native;

/// <summary>What a connection may do with its file.</summary>
internal enum SqliteAccess
{
    /// <summary>Reads only; the file has to exist.</summary>
    ReadOnly,

    /// <summary>Reads only a file that nobody writes meanwhile: takes no locks and makes no files beside it. What a log beside it holds is not seen.</summary>
    ReadAtRest,

    /// <summary>Reads and writes; the file is made when it isn't there.</summary>
    ReadWriteCreate,
}

/// <summary>How far a checkpoint goes in moving the write-ahead log into the database file.</summary>
internal enum CheckpointMode
{
    /// <summary>As much as can be done without waiting for a reader.</summary>
    Passive = 0,

    /// <summary>All of it, waiting for readers up to the busy timeout, and then the log is cut to nothing.</summary>
    Truncate = 3,
}

/// <summary>What a checkpoint did.</summary>
/// <param name="IsBusy">True when a reader kept it from finishing.</param>
/// <param name="LogFrames">Pages in the log afterwards.</param>
/// <param name="CheckpointedFrames">How many of them are in the database file by now.</param>
internal readonly record struct CheckpointResult(bool IsBusy, int LogFrames, int CheckpointedFrames);

/// <summary>
/// One connection to a SQLite file. Used by one thread at a time (except <see cref="Interrupt"/>).
/// Closing it also closes its statements.
/// </summary>
internal sealed unsafe class SqliteConnection : IDisposable
{
    private readonly HashSet<SqliteStatement> statements = [];
    private nint handle;

    // Native, because SQLite's commit hook writes to it: pages in the log after the last commit, and how many commits there were.
    private int* logState;

    private SqliteConnection(nint handle) => this.handle = handle;

    /// <summary>The version of the library in use, e.g. <c>3.40.1</c>.</summary>
    public static string LibraryVersion
    {
        get
        {
            Sqlite3.Register();
            return Text(Sqlite3.LibraryVersion());
        }
    }

    /// <summary>Rows the latest INSERT, UPDATE or DELETE touched.</summary>
    public int Changes => Sqlite3.Changes(handle);

    /// <summary>True between BEGIN and COMMIT or ROLLBACK. SQLite itself rolls back after some errors.</summary>
    public bool IsInTransaction => Sqlite3.IsAutocommit(handle) == 0;

    /// <summary>True when the file was opened for writing but the system lets us only read it.</summary>
    public bool IsReadOnly
    {
        get
        {
            fixed (byte* main = "main\0"u8)
                return Sqlite3.IsReadOnly(handle, main) == 1;
        }
    }

    /// <summary>Pages in the write-ahead log after this connection's last commit; 0 before <see cref="CountLogFrames"/>.</summary>
    public int LogFrames => logState == null ? 0 : logState[0];

    /// <summary>Commits that wrote something since <see cref="CountLogFrames"/>, modulo 2^32.</summary>
    public int Commits => logState == null ? 0 : logState[1];

    /// <summary>Opens the file. Most faults of the file itself show only when it is first read.</summary>
    /// <param name="fileSystem">Name of a SQLite VFS; null for the operating system's files.</param>
    /// <exception cref="SqliteException">The file can't be opened.</exception>
    public static SqliteConnection Open(string path, SqliteAccess access, string? fileSystem = null)
    {
        Sqlite3.Register();
        var flags = Sqlite3.OpenNoMutex
            | access switch
            {
                SqliteAccess.ReadOnly => Sqlite3.OpenReadOnly,
                SqliteAccess.ReadAtRest => Sqlite3.OpenReadOnly | Sqlite3.OpenUri,
                _ => Sqlite3.OpenReadWrite | Sqlite3.OpenCreate,
            };
        nint handle;
        int code;
        fixed (byte* name = ZeroTerminated(access == SqliteAccess.ReadAtRest ? AtRest(path) : path), vfs = fileSystem is null ? null : ZeroTerminated(fileSystem))
            code = Sqlite3.Open(name, &handle, flags, vfs);

        var connection = new SqliteConnection(handle);
        if (code != Sqlite3.Ok)
        {
            var failure = connection.Failure(code, "open");
            connection.Dispose();
            throw failure;
        }

        _ = Sqlite3.ExtendedResultCodes(handle, 1);
        return connection;
    }

    /// <summary>How long a statement waits for a lock before it fails as busy. 0, the default, fails at once.</summary>
    public void SetBusyTimeout(TimeSpan timeout) => _ = Sqlite3.BusyTimeout(handle, checked((int)timeout.TotalMilliseconds));

    /// <summary>Compiles one statement for repeated use.</summary>
    public SqliteStatement Prepare(string sql)
    {
        var text = ZeroTerminated(sql);
        fixed (byte* start = text)
        {
            var prepared = Prepare(start, text.Length - 1, sql, out var tail);
            if (prepared is null || !IsBlank(tail, start + text.Length - 1))
            {
                prepared?.Dispose();
                throw new ArgumentException($"Not exactly one statement: {sql}", nameof(sql));
            }

            return prepared;
        }
    }

    /// <summary>Runs one or more statements without parameters, one after the other; rows they give are ignored.</summary>
    public void Execute(string sql)
    {
        var text = ZeroTerminated(sql);
        fixed (byte* start = text)
        {
            var end = start + text.Length - 1;
            for (var next = start; next < end;)
            {
                using var statement = Prepare(next, (int)(end - next), sql, out next);
                while (statement is not null && statement.Step())
                {
                }
            }
        }
    }

    /// <summary>The first column of the only row of a query, as a number; null when there is no row or it is NULL.</summary>
    public long? QueryInt64(string sql)
    {
        using var statement = Prepare(sql);
        return statement.Step() ? statement.NullableInt64(0) : null;
    }

    /// <summary>The first column of the only row of a query, as text; null when there is no row or it is NULL.</summary>
    public string? QueryText(string sql)
    {
        using var statement = Prepare(sql);
        return statement.Step() ? statement.NullableText(0) : null;
    }

    /// <summary>Moves the write-ahead log into the database file. Being held up by a reader is a result, not an error.</summary>
    public CheckpointResult Checkpoint(CheckpointMode mode)
    {
        int frames, checkpointed;
        var code = Sqlite3.Checkpoint(handle, null, (int)mode, &frames, &checkpointed);
        if (code == Sqlite3.Ok)
            return new CheckpointResult(IsBusy: false, frames, checkpointed);

        var failure = Failure(code, "checkpoint");
        return failure.IsBusy ? new CheckpointResult(IsBusy: true, frames, checkpointed) : throw failure;
    }

    /// <summary>Has every commit tell the length of the write-ahead log. Also switches SQLite's automatic checkpoints off.</summary>
    public void CountLogFrames()
    {
        if (logState == null)
            logState = (int*)NativeMemory.AllocZeroed(2 * sizeof(int));
        _ = Sqlite3.OnCommit(handle, &Committed, logState);
    }

    /// <summary>Ends the statement that is running on this connection, from any thread; it fails as interrupted.</summary>
    public void Interrupt()
    {
        if (handle != 0)
            Sqlite3.Interrupt(handle);
    }

    /// <summary>Closes the statements and the file. An open transaction is rolled back.</summary>
    public void Dispose()
    {
        foreach (var statement in statements.ToArray())
            statement.Dispose();
        if (handle != 0)
            _ = Sqlite3.Close(handle);
        handle = 0;
        NativeMemory.Free(logState);
        logState = null;
    }

    internal void Forget(SqliteStatement statement) => statements.Remove(statement);

    internal SqliteException Failure(int code, string doing)
    {
        var systemError = handle != 0 && SqliteException.HasSystemError(code) ? Sqlite3.SystemError(handle) : 0;
        var text = handle == 0 ? Text(Sqlite3.ErrorText(code)) : Text(Sqlite3.ErrorMessage(handle));
        var system = systemError == 0 ? "" : $", errno {systemError}: {Marshal.GetPInvokeErrorMessage(systemError)}";
        return new SqliteException(code, systemError, $"{text} (SQLite {code}{system})", doing);
    }

    private SqliteStatement? Prepare(byte* sql, int length, string whole, out byte* tail)
    {
        ObjectDisposedException.ThrowIf(handle == 0, this);
        nint prepared;
        byte* rest;
        var code = Sqlite3.Prepare(handle, sql, length, Sqlite3.PreparePersistent, &prepared, &rest);
        tail = rest;
        if (code != Sqlite3.Ok)
            throw Failure(code, whole);
        if (prepared == 0)
            return null;

        var statement = new SqliteStatement(this, prepared, whole);
        statements.Add(statement);
        return statement;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Committed(void* context, nint connection, byte* database, int frames)
    {
        var state = (int*)context;
        state[0] = frames;
        state[1]++;
        return Sqlite3.Ok;
    }

    private static bool IsBlank(byte* from, byte* to)
    {
        for (; from < to; from++)
        {
            if (*from is not ((byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t' or (byte)';'))
                return false;
        }

        return true;
    }

    /// <summary>The path as an address, in which SQLite takes settings of the file.</summary>
    private static string AtRest(string path)
    {
        if (OperatingSystem.IsWindows())
            path = "/" + path.Replace('\\', '/');
        return $"file://{path.Replace("%", "%25", StringComparison.Ordinal).Replace("?", "%3f", StringComparison.Ordinal).Replace("#", "%23", StringComparison.Ordinal)}?immutable=1";
    }

    private static byte[] ZeroTerminated(string text)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }

    private static string Text(byte* utf8) => Marshal.PtrToStringUTF8((nint)utf8) ?? "";
}
