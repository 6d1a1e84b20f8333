using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;
using Dispatch.Host.Nodes;
using Dispatch.Servers;
using Microsoft.Extensions.Logging;

namespace Dispatch.Api.Tests.Nodes;

/// <summary>The PostgreSQL of these tests. Each test has a database of its own on it.</summary>
public sealed class NodeDatabase : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private PostgresServer? server;
    private int databases;

    public PostgresServer Server => server ?? throw new InvalidOperationException(PostgresServer.Missing);

    public async Task InitializeAsync()
    {
        if (PostgresServer.Missing is null)
            server = await PostgresServer.StartAsync(directory.Path);
    }

    public async Task DisposeAsync()
    {
        if (server is not null)
            await server.DisposeAsync();
        directory.Dispose();
    }

    /// <summary>The address of a database that nobody has used before.</summary>
    public async Task<NodeSwarm> NewSwarmAsync()
    {
        var name = $"nodes{Interlocked.Increment(ref databases)}";
        await Server.CreateDatabaseAsync(name);
        return new NodeSwarm(Server, name);
    }
}

[CollectionDefinition(Name)]
public sealed class NodeCollection : ICollectionFixture<NodeDatabase>
{
    public const string Name = "Nodes";
}

/// <summary>A test that needs a PostgreSQL, and is skipped where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PostgresFactAttribute : FactAttribute
{
    public PostgresFactAttribute() => Skip = PostgresServer.Missing;
}

/// <summary>Nodes in this process, all on one database.</summary>
public sealed class NodeSwarm(PostgresServer server, string database) : IAsyncDisposable
{
    private readonly List<(Node Node, TemporaryDirectory Directory, HttpClient Http)> nodes = [];

    public string Url => server.Url(database);

    /// <summary>Runs SQL on the database.</summary>
    public Task<string> QueryAsync(string sql) => server.QueryAsync(sql, database);

    /// <summary>Starts a node; the first takes what there is.</summary>
    public async Task<Node> StartAsync(string name)
    {
        var directory = new TemporaryDirectory();
        var node = await Node.StartAsync(
            new DispatchConfig
            {
                Server = new ServerSettings { Port = 0, MetricsPort = 0, AdminToken = TestBroker.AdminSecret },
                Database = new DatabaseSettings { Url = Url, Directory = directory.Path },
                Node = new NodeSettings { Name = name },
                Limits = new LimitSettings { RequestsPerSecond = 0 },
                Logging = new LoggingSettings { Level = LogLevel.Warning, Access = AccessLogging.Off },
            },
            TimeProvider.System, CancellationToken.None, Stream.Null);
        nodes.Add((node, directory, new HttpClient { BaseAddress = node.Url, Timeout = TimeSpan.FromSeconds(30) }));
        return node;
    }

    /// <summary>Somebody who asks a node.</summary>
    /// <param name="space">The namespace; null: says nothing.</param>
    public async Task<HttpResponseMessage> AskAsync(Node node, HttpMethod method, string path, string? body = null, string? space = null, string agent = "admin", params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.Add("X-Agent-ID", agent);
        if (agent == "admin")
            request.Headers.Add("Authorization", $"Bearer {TestBroker.AdminSecret}");
        if (space is not null)
            request.Headers.Add("Dispatch-Namespace", space);
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        if (body is not null)
            request.Content = new StringContent(body, System.Text.Encoding.UTF8, "application/json");
        return await nodes.First(known => known.Node == node).Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    /// <summary>The same, and the body of the answer, which has to have this status.</summary>
    public async Task<System.Text.Json.JsonElement> JsonAsync(Node node, HttpMethod method, string path, string? body = null, string? space = null, int status = 200, string agent = "admin", params (string Name, string Value)[] headers)
    {
        using var answer = await AskAsync(node, method, path, body, space, agent, headers);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True((int)answer.StatusCode == status, $"{(int)answer.StatusCode}: {text}");
        return System.Text.Json.JsonDocument.Parse(text).RootElement;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (node, directory, http) in nodes)
        {
            http.Dispose();
            await node.DisposeAsync();
            directory.Dispose();
        }
    }
}
