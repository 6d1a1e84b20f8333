using System.Globalization;
using Dispatch.Chaos.Brokers;
using Dispatch.Chaos.Faults;
using Dispatch.Servers;

namespace Dispatch.Chaos.Nodes;

/// <summary>One of several brokers on one database, with a way to it of its own that can be made bad.</summary>
/// <param name="Port">Kept over restarts, as the name is.</param>
/// <param name="Network">Between it and the database.</param>
public sealed record Member(string Name, int Port, RunDirectory Directory, FaultProxy Network, BrokerProcess Broker);

/// <summary>Who writes, by the database's word.</summary>
public sealed record Writing(string Node, long Epoch);

/// <summary>Three real brokers and a real PostgreSQL, of a run's own. Only what was started here is ever signalled.</summary>
public sealed class Cluster : IAsyncDisposable
{
    private const int Size = 3;
    private static readonly TimeSpan QueryLimit = TimeSpan.FromSeconds(10);

    private Cluster(PostgresServer database, IReadOnlyList<Member> members)
    {
        Database = database;
        Members = members;
    }

    public PostgresServer Database { get; }

    public IReadOnlyList<Member> Members { get; }

    /// <summary>How a broker ended that ended by itself; null while none did.</summary>
    public string? Epitaph => Members.FirstOrDefault(member => member.Broker.Died.IsCancellationRequested) is { } dead ? $"{dead.Name}: {dead.Broker.Epitaph}" : null;

    /// <summary>Makes the database, and what the nodes need; starts no node.</summary>
    public static async Task<Cluster> CreateAsync(CrashOptions options, RunDirectory directory, int leaseMs, Random chance)
    {
        var database = await PostgresServer.StartAsync(directory.Path);
        var members = new List<Member>();
        for (var number = 1; number <= Size; number++)
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"node-{number}");
            var port = FreePort.Find(chance, members.ConvertAll(member => member.Port));
            var own = directory.ForNode(name);
            var network = FaultProxy.Start(database.Port, options.Seed + number);
            own.WriteConfig(port, leaseMs, database: database.Url(by: network.Port), node: name);
            members.Add(new Member(name, port, own, network, new BrokerProcess(options.Dispatch, own, port, options.Bug)));
        }

        return new Cluster(database, members);
    }

    /// <exception cref="BrokerException">One did not get ready.</exception>
    public async Task StartAllAsync(CancellationToken cancel)
    {
        foreach (var member in Members)
            await member.Broker.StartAsync(cancel);
    }

    /// <summary>SIGKILL of all, one after the other.</summary>
    public async Task KillAllAsync(CancellationToken cancel)
    {
        foreach (var member in Members)
            await member.Broker.KillAsync(cancel);
    }

    /// <summary>Who writes; null: nobody did yet, or the database does not answer.</summary>
    public async Task<Writing?> FindWriterAsync(CancellationToken cancel)
    {
        try
        {
            var row = await Database.QueryAsync("select split_part(holder, '/', 1) || ' ' || epoch from dispatch.writers where namespace = 'default'").WaitAsync(QueryLimit, cancel);
            return row.Split(' ') is [var node, var epoch] ? new Writing(node, long.Parse(epoch, CultureInfo.InvariantCulture)) : null;
        }
        catch (InvalidOperationException)
        {
            // psql says that the server is away, or is starting.
            return null;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var member in Members)
            member.Broker.Dispose();
        foreach (var member in Members)
            await member.Network.DisposeAsync();
        await Database.DisposeAsync();
    }
}
