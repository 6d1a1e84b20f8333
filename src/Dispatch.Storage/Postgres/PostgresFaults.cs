using System.Net.Sockets;
using System.Text.Json;
using Dispatch.Sequencing;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>Turns PostgreSQL's refusals into what the sequencer acts on and an operator understands. No message holds a password: the server's never do, and addresses are described without.</summary>
internal static class PostgresFaults
{
    /// <summary>Raised by the layout's own functions.</summary>
    internal const string Superseded = "DW001";
    internal const string OutOfOrder = "DW002";

    /// <summary>What went wrong before anything of a transaction was sent, or in one that the server says it has undone.</summary>
    internal static StoreException Translate(Exception refusal, string where) => refusal switch
    {
        StoreException known => known,
        PostgresException server => Translate(server, where),
        NpgsqlException { InnerException: TimeoutException } or TimeoutException => new StoreException(
            StoreFault.Unavailable, $"PostgreSQL ({where}) did not answer in time. Look at the load of the server and of the network.", refusal),
        NpgsqlException or SocketException or IOException or ObjectDisposedException => new StoreException(
            StoreFault.Unavailable, $"PostgreSQL ({where}) can't be reached. Check that it runs, and the address, port and sslmode. ({Reason(refusal)})", refusal),
        _ => new StoreException(StoreFault.Corrupt, $"The database {where} holds a row that this release can't read. ({refusal.Message})", refusal),
    };

    /// <summary>True when it is not known what became of the transaction: the server did not say that it undid it.</summary>
    internal static bool IsUnknown(Exception refusal) => refusal switch
    {
        PostgresException { SqlState: PostgresErrorCodes.StatementCompletionUnknown } => true,
        PostgresException server => server.InvariantSeverity is "FATAL" or "PANIC",
        _ => true,
    };

    /// <summary>
    /// True for what can go wrong in reading rows: the server refuses, or a row can't be understood. A connection that the driver's own keepalive finds broken
    /// while a statement begins on it says that a part of it is disposed.
    /// </summary>
    internal static bool IsOfStore(Exception refusal) =>
        refusal is NpgsqlException or SocketException or IOException or ObjectDisposedException or TimeoutException or FormatException or JsonException or OverflowException or KeyNotFoundException or InvalidCastException;

    internal static StoreException Unknown(Exception refusal, string where) => new(
        StoreFault.Unknown, $"The connection to PostgreSQL ({where}) was lost during a commit; it may or may not have happened. ({Reason(refusal)})", refusal);

    private static StoreException Translate(PostgresException refusal, string where)
    {
        var (fault, what) = refusal.SqlState switch
        {
            Superseded => (StoreFault.Locked, $"Another broker has taken over the writing of {where}. This one writes nothing until that one lets go."),
            OutOfOrder => (StoreFault.Unavailable, "The batch does not continue what is stored. Nothing was written; the state has to be loaded again."),
            PostgresErrorCodes.UniqueViolation => (StoreFault.Unavailable, "The batch does not fit what is stored. Nothing was written; the state has to be loaded again."),
            PostgresErrorCodes.DiskFull or PostgresErrorCodes.OutOfMemory or PostgresErrorCodes.ProgramLimitExceeded =>
                (StoreFault.Full, $"The server of {where} has no room left. Nothing was written. Make room on its disk; the broker goes on by itself."),
            PostgresErrorCodes.ReadOnlySqlTransaction => (StoreFault.ReadOnly, $"The database {where} takes no writes: it is a standby, or read-only. Give the address of the primary."),
            PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification =>
                (StoreFault.Unavailable, $"PostgreSQL ({where}) refuses the user or its password. Check them, PGPASSWORD or .pgpass, and pg_hba.conf."),
            PostgresErrorCodes.InvalidCatalogName => (StoreFault.Unavailable, $"There is no such database: {where}. Make it first: CREATE DATABASE ... ENCODING 'UTF8'."),
            PostgresErrorCodes.InsufficientPrivilege => (StoreFault.ReadOnly, $"The user may not do this in {where}. It needs CREATE on the database, or to own the dispatch schemas."),
            PostgresErrorCodes.TooManyConnections => (StoreFault.Unavailable, $"PostgreSQL ({where}) has no connection left. Raise max_connections, or use fewer elsewhere."),
            PostgresErrorCodes.LockNotAvailable => (StoreFault.Unavailable, $"Another session holds a lock on {where} for too long. Look at pg_locks and pg_stat_activity."),
            PostgresErrorCodes.QueryCanceled => (StoreFault.Unavailable, $"PostgreSQL ({where}) took longer than allowed for a statement, and it was cancelled. Look at the load of the server."),
            PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown or PostgresErrorCodes.CannotConnectNow or "25P03" =>
                (StoreFault.Unavailable, $"PostgreSQL ({where}) is stopping or starting. The broker goes on when it is there."),
            PostgresErrorCodes.DataCorrupted or PostgresErrorCodes.IndexCorrupted =>
                (StoreFault.Corrupt, $"The database {where} is damaged. Stop the broker and restore a backup."),
            PostgresErrorCodes.IoError => (StoreFault.Unavailable, $"The server of {where} failed to read or write its files. Check its disk."),
            _ => (StoreFault.Unavailable, $"PostgreSQL ({where}) refused."),
        };
        return new StoreException(fault, $"{what} ({refusal.MessageText}; {refusal.SqlState})", refusal);
    }

    private static string Reason(Exception refusal) => (refusal.InnerException ?? refusal).Message;
}
