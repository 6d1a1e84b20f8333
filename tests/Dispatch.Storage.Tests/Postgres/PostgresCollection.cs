using Dispatch.Servers;
using Dispatch.Storage.Postgres;

namespace Dispatch.Storage.Tests.Postgres;

/// <summary>The one server of all tests here. Each test has a namespace of its own on it.</summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private PostgresServer? server;
    private int namespaces;

    public PostgresServer Server => server ?? throw new InvalidOperationException(PostgresServer.Missing);

    public async Task InitializeAsync()
    {
        if (PostgresServer.Missing is not null)
            return;
        server = await PostgresServer.StartAsync(directory.Path);
    }

    public async Task DisposeAsync()
    {
        if (server is not null)
            await server.DisposeAsync();
        directory.Dispose();
    }

    /// <summary>The options of a store that nobody has used before.</summary>
    public PostgresStoreOptions NewStore() => new() { Url = Server.Url(), Namespace = $"t{Interlocked.Increment(ref namespaces)}", PartitionEvents = 1_000 };
}

[CollectionDefinition(Name)]
public sealed class PostgresCollection : ICollectionFixture<PostgresFixture>
{
    public const string Name = "PostgreSQL";
}

/// <summary>A test that needs a PostgreSQL, and is skipped where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PostgresFactAttribute : FactAttribute
{
    public PostgresFactAttribute() => Skip = PostgresServer.Missing;
}
