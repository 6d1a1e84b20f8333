using Dispatch.Host.Configuration;
using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Sqlite;

namespace Dispatch.Host;

/// <summary>Opens the store that an address names: a file of SQLite, or a PostgreSQL.</summary>
internal static class Stores
{
    /// <summary>For the one broker that writes it.</summary>
    /// <exception cref="StoreException">It can't be used, or another broker writes it; the message says what to do.</exception>
    public static async Task<IStore> OpenAsync(DatabaseSettings database, TimeProvider clock, CancellationToken cancel) => database.IsPostgres
        ? await PostgresStore.OpenAsync(new PostgresStoreOptions { Url = database.Url }, clock, cancel)
        : SqliteStore.Open(new SqliteStoreOptions { Path = database.FilePath }, clock);

    /// <summary>To look at it, also while a broker runs on it.</summary>
    /// <param name="location">See <see cref="DatabaseSettings.Location"/>.</param>
    /// <exception cref="StoreException">It isn't there or can't be read.</exception>
    public static IStore OpenForReading(string location) => PostgresUrl.IsScheme(location)
        ? PostgresStore.OpenForReading(new PostgresStoreOptions { Url = location }, TimeProvider.System)
        : SqliteStore.OpenForReading(new SqliteStoreOptions { Path = location });
}
