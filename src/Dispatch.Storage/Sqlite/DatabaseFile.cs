using System.Globalization;
using Dispatch.Sequencing;
using Dispatch.Storage.Copying;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>Opens the database file: recognises it, brings it to the layout of this release, and makes sure that a commit is durable.</summary>
internal static class DatabaseFile
{
    private const int FullSynchronous = 2;
    private const int PageSize = 16_384;

    private static readonly int KnownVersion = Schema.Migrations[^1].Version;

    /// <summary>The one connection that writes. Makes the file when it isn't there.</summary>
    /// <exception cref="SqliteException">SQLite refused.</exception>
    /// <exception cref="StoreException">The file is not ours, newer than this program, or can't be written durably.</exception>
    internal static SqliteConnection OpenForWriting(SqliteStoreOptions options, TimeProvider clock)
    {
        Create(options.Path);
        var connection = SqliteConnection.Open(options.Path, SqliteAccess.ReadWriteCreate, options.FileSystem);
        try
        {
            connection.SetBusyTimeout(TimeSpan.FromSeconds(5));

            // Nothing is changed in a file that turns out not to be ours.
            var version = Recognise(connection, options);
            if (connection.IsReadOnly)
                throw new StoreException(StoreFault.ReadOnly, $"{options.Path} can't be written. Check its permissions, and those of its directory.");

            MakeDurable(connection, options);
            Migrate(connection, version, clock);
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>A connection that can't write, whatever it is asked.</summary>
    internal static SqliteConnection OpenForReading(SqliteStoreOptions options)
    {
        var connection = SqliteConnection.Open(options.Path, options.AtRest ? SqliteAccess.ReadAtRest : SqliteAccess.ReadOnly, options.FileSystem);
        try
        {
            connection.SetBusyTimeout(TimeSpan.FromSeconds(5));
            connection.Execute("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048");
            if (Recognise(connection, options) is var version && version != KnownVersion)
                throw new StoreException(StoreFault.Corrupt, $"{options.Path} has the layout of version {version}; start the broker once to bring it to {KnownVersion}.");
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    /// <summary>The layout's version; 0 for an empty file.</summary>
    private static int Recognise(SqliteConnection connection, SqliteStoreOptions options)
    {
        var path = options.Path;
        var application = connection.QueryInt64("PRAGMA application_id") ?? 0;
        var isEmpty = connection.QueryInt64("SELECT count(*) FROM sqlite_schema") == 0;
        if (application == 0 && isEmpty)
            return 0;

        if (application != Schema.ApplicationId || connection.QueryInt64("SELECT count(*) FROM sqlite_schema WHERE name = 'schema_migrations'") == 0)
        {
            throw new StoreException(
                StoreFault.Corrupt, $"{path} is the database of another program (application id {application}). It was left as it is; give another data directory.");
        }

        var version = (int)(connection.QueryInt64("SELECT max(version) FROM schema_migrations") ?? 0);
        if (version > KnownVersion)
        {
            throw new StoreException(
                StoreFault.TooNew,
                $"{path} was written by a newer release (layout {version}; this program knows up to {KnownVersion}). Use that release or restore an older backup; nothing was changed.");
        }

        if (!options.IsCopying && connection.QueryText($"SELECT value FROM meta WHERE key = '{CopyMark.Key}'") is { } mark)
            throw CopyMark.Unfinished(path, mark);
        return version;
    }

    private static void MakeDurable(SqliteConnection connection, SqliteStoreOptions options)
    {
        connection.Execute($"PRAGMA page_size = {PageSize}");
        var journal = connection.QueryText("PRAGMA journal_mode = WAL");
        if (journal != "wal")
        {
            throw new StoreException(
                StoreFault.Unavailable, $"The file system of {options.Path} can't do write-ahead logging (journal mode is '{journal}'). Network file systems can't; use a local disk.");
        }

        connection.Execute($"PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{options.WriteCacheKiB}");

        // Some builds of SQLite set a weaker level for a write-ahead log and ignore what they are told.
        var synchronous = connection.QueryInt64("PRAGMA synchronous");
        if (synchronous != FullSynchronous)
            throw new StoreException(StoreFault.Unavailable, $"SQLite {SqliteConnection.LibraryVersion} does not accept synchronous=FULL (it says {synchronous}): commits would not survive a power cut.");

        // Checkpoints are the writer's decision alone.
        connection.Execute("PRAGMA wal_autocheckpoint = 0");
        connection.CountLogFrames();
    }

    private static void Migrate(SqliteConnection connection, int version, TimeProvider clock)
    {
        connection.Execute("BEGIN IMMEDIATE");
        try
        {
            if (version == 0)
            {
                connection.Execute(
                    $"PRAGMA application_id = {Schema.ApplicationId}; CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)");
            }

            foreach (var migration in Schema.Migrations.Where(migration => migration.Version > version))
            {
                connection.Execute(migration.Sql);
                migration.Fill?.Invoke(connection);
                using var record = connection.Prepare("INSERT INTO schema_migrations VALUES (?, ?, ?)");
                record.Bind(1, migration.Version);
                record.Bind(2, migration.Name);
                record.Bind(3, clock.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
                record.Execute();
            }

            connection.Execute("COMMIT");
        }
        catch
        {
            if (connection.IsInTransaction)
                connection.Execute("ROLLBACK");
            throw;
        }
    }

    /// <summary>Makes the file readable for its owner only; SQLite gives the files beside it the same permissions.</summary>
    private static void Create(string path)
    {
        if (File.Exists(path))
            return;

        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        new FileStream(path, options).Dispose();
    }
}
