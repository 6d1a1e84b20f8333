using System.Globalization;

namespace Dispatch.Chaos.Brokers;

/// <summary>Everything one run leaves behind, in one new temporary directory.</summary>
public sealed class RunDirectory
{
    /// <summary>The broker's admin token in this run.</summary>
    public const string AdminToken = "chaos-admin-token-of-a-throw-away-broker";

    private RunDirectory(string path)
    {
        Path = path;
        Data = Directory.CreateDirectory(System.IO.Path.Combine(path, "data")).FullName;
        Histories = Directory.CreateDirectory(System.IO.Path.Combine(path, "histories")).FullName;
        Config = System.IO.Path.Combine(path, "dispatch.yaml");
        BrokerLog = System.IO.Path.Combine(path, "broker.log");
    }

    public string Path { get; }

    /// <summary>The broker's data directory.</summary>
    public string Data { get; }

    /// <summary>One file per actor.</summary>
    public string Histories { get; }

    public string Config { get; }

    /// <summary>Standard output and error of every broker of the run.</summary>
    public string BrokerLog { get; }

    public static RunDirectory Create(int seed) =>
        new(Directory.CreateTempSubdirectory(string.Create(CultureInfo.InvariantCulture, $"dispatch-crash-{seed}-")).FullName);

    /// <summary>What one of several nodes has of its own, in a directory below.</summary>
    public RunDirectory ForNode(string name) => new(Directory.CreateDirectory(System.IO.Path.Combine(Path, name)).FullName);

    /// <summary>Short leases and backoffs, so that a run of a minute sees all of them many times.</summary>
    /// <param name="leaseMs">Lease of an agent.</param>
    /// <param name="logBytes">How much of the log is kept; 0: all.</param>
    /// <param name="database">The address of a PostgreSQL; null: a file in the data directory.</param>
    /// <param name="node">Its name among several.</param>
    public void WriteConfig(int port, int leaseMs, int logBytes = 0, string? database = null, string? node = null) => File.WriteAllText(Config, $$"""
        server: { port: {{port}}, metrics_port: 0, bind: 127.0.0.1, admin_token: {{AdminToken}} }
        auth: { mode: trusted_header }
        agents: { lease_ms: {{leaseMs}} }
        retry: { base_ms: 50, cap_ms: 500 }
        limits: { requests_per_second: 0 }
        logging: { access: errors }
        retention: { events_bytes: {{logBytes}}, sweep_ms: 50 }
        {{(database is null ? "" : $"database: {{ url: \"{database}\" }}")}}
        {{(node is null ? "" : $"node: {{ name: {node} }}")}}

        """);

    public void Delete() => Directory.Delete(Path, recursive: true);
}
