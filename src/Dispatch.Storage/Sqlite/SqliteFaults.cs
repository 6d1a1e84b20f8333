using System.Text.Json;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>Turns SQLite's refusals into what the sequencer acts on and an operator understands.</summary>
internal static class SqliteFaults
{
    internal static StoreException Translate(SqliteException refusal, string path)
    {
        var (fault, what) = refusal switch
        {
            { IsFsync: true } => (StoreFault.Fatal,
                $"The operating system could not put {path} safely on the disk (fsync failed). What the disk holds is unknown until it is read again: check the disk, then restart the broker."),
            { IsFull: true } => (StoreFault.Full,
                $"No room left for {path}. Nothing was written. Free some disk space (or raise the quota); the broker goes on by itself."),
            { IsNotADatabase: true } => (StoreFault.Corrupt,
                $"{path} is not a SQLite database. Move it away to start with an empty store, or give another data directory."),
            { IsCorrupt: true } => (StoreFault.Corrupt,
                $"{path} is damaged. Stop the broker, keep a copy of {path} and {path}-wal, and restore a backup; 'sqlite3 {path} .recover' saves what is readable."),
            { IsReadOnly: true } => (StoreFault.ReadOnly,
                $"{path} can't be written. Check the permissions of the file and of its directory, and whether the file system is mounted read-only."),
            { IsBusy: true } => (StoreFault.Unavailable,
                $"Another program holds {path} locked. Look for a 'sqlite3' shell with an open transaction."),
            { IsCannotOpen: true } => (StoreFault.Unavailable,
                $"{path} can't be opened. Check that the file and its directory are there and may be read."),
            { IsIoError: true } => (StoreFault.Unavailable,
                $"Reading or writing {path} failed. Check the disk."),
            _ => (StoreFault.Unavailable, $"The store {path} refused."),
        };
        return new StoreException(fault, $"{what} ({refusal.Reason})", refusal);
    }

    /// <summary>True for what can go wrong in reading rows: SQLite refuses, or a row can't be understood.</summary>
    internal static bool IsOfStore(Exception refusal) =>
        refusal is SqliteException or FormatException or JsonException or OverflowException or KeyNotFoundException;

    internal static StoreException TranslateAny(Exception refusal, string path) => refusal is SqliteException sqlite
        ? Translate(sqlite, path)
        : new StoreException(StoreFault.Corrupt, $"{path} holds a row that this release can't read. ({refusal.Message})", refusal);

    /// <summary>The same for the files beside the database: the directory and the lock file.</summary>
    internal static StoreException Translate(Exception refusal, string path) => refusal switch
    {
        UnauthorizedAccessException => new StoreException(
            StoreFault.ReadOnly, $"No permission to write {path}. Check the owner and the permissions of its directory. ({refusal.Message})", refusal),
        IOException io when PosixError.MeansNoRoom(io.HResult) => new StoreException(
            StoreFault.Full, $"No room left for {path}. Free some disk space. ({refusal.Message})", refusal),
        IOException io when PosixError.MeansNotAllowed(io.HResult) => new StoreException(
            StoreFault.ReadOnly, $"{path} can't be written: its file system is read-only. ({refusal.Message})", refusal),
        _ => new StoreException(StoreFault.Unavailable, $"{path} can't be opened. ({refusal.Message})", refusal),
    };
}
