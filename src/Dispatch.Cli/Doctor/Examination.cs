using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Client;
using Dispatch.Host;
using Dispatch.Host.Configuration;

namespace Dispatch.Cli.Doctor;

/// <summary>Looks at everything a broker stands on, in the order in which faults cause each other.</summary>
internal sealed class Examination(Invocation run)
{
    private const long LittleSpace = 1L << 30;
    private const long NoSpace = 64L << 20;

    /// <summary>Gives each finding as soon as it is there.</summary>
    public async IAsyncEnumerable<Finding> RunAsync()
    {
        yield return new Finding("program", Finding.Fine, $"dispatch {Operations.VersionCommand.Version} on {RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}, {RuntimeInformation.RuntimeIdentifier}");

        yield return Library();

        var (config, wrong) = LoadConfig();
        yield return wrong ?? new Finding("settings", Finding.Fine, config!.File is { } file ? $"good, from {file}" : "good; there is no file");
        if (config is null)
            yield break;

        var directory = config.Config.DataDirectory;
        if (!Directory.Exists(directory))
        {
            yield return new Finding("directory", Finding.Warning, $"{directory} is not there yet", "The first dispatch serve makes it.");
            foreach (var port in Ports(config.Config.Server))
                yield return port;
            yield break;
        }

        yield return Permissions("directory", directory, UnixFileMode.GroupWrite | UnixFileMode.OtherWrite, "may be written by others than its owner");
        yield return Space(directory);
        var adminToken = Path.Combine(directory, "admin-token");
        if (File.Exists(adminToken))
            yield return Permissions("token", adminToken, (UnixFileMode)0b000_111_111, "may be read by others than its owner");

        var database = config.Config.Database;
        if (!database.IsPostgres && File.Exists(database.FilePath))
            yield return Permissions("file", database.FilePath, (UnixFileMode)0b000_111_111, "may be read by others than its owner", Finding.Warning);

        var broker = new Brokers.DataDirectory(directory).FindBroker();
        if (broker is not null)
            yield return await AskAsync(broker);
        else
        {
            foreach (var port in Ports(config.Config.Server))
                yield return port;
        }

        yield return await StoreAsync(database);
    }

    private (LoadedConfig? Config, Finding? Wrong) LoadConfig()
    {
        try
        {
            return (Operations.Configuration.Load(run, new Dictionary<string, string>()), null);
        }
        catch (CommandException e)
        {
            return (null, new Finding("settings", Finding.Fault, "the configuration is wrong") { Details = e.Fault.Details });
        }
    }

    private static Finding Library()
    {
        try
        {
            return new Finding("sqlite", Finding.Fine, $"SQLite {StoreCheck.FindSqliteVersion()}");
        }
        catch (BrokerStartException missing)
        {
            return new Finding("sqlite", Finding.Fault, missing.Message, missing.Next);
        }
    }

    private static Finding Permissions(string check, string path, UnixFileMode unwanted, string complaint, string status = Finding.Fault)
    {
        if (OperatingSystem.IsWindows())
            return new Finding(check, Finding.Fine, path);
        var mode = File.GetUnixFileMode(path);
        return (mode & unwanted) == UnixFileMode.None
            ? new Finding(check, Finding.Fine, path)
            : new Finding(check, status, $"{path} {complaint} (mode {Convert.ToString((int)mode, 8)})", $"chmod go-{(Directory.Exists(path) ? "w" : "rwx")} {path}");
    }

    private static Finding Space(string directory)
    {
        var free = new DriveInfo(directory).AvailableFreeSpace;
        var message = $"{free / (1 << 20):N0} MiB free where {directory} is";
        return free switch
        {
            < NoSpace => new Finding("space", Finding.Fault, message, "The broker refuses writes when the disk is full. Make room."),
            < LittleSpace => new Finding("space", Finding.Warning, message, "Make room before the broker refuses writes."),
            _ => new Finding("space", Finding.Fine, message),
        };
    }

    private static IEnumerable<Finding> Ports(ServerSettings server)
    {
        if (!IPAddress.TryParse(server.Bind, out var address))
            address = IPAddress.Loopback;
        foreach (var port in new[] { server.Port, server.MetricsPort }.Where(port => port != 0))
        {
            Finding finding;
            try
            {
                using var listener = new TcpListener(address, (int)port);
                listener.Start();
                finding = new Finding("port", Finding.Fine, $"{port} is free");
            }
            catch (SocketException e)
            {
                finding = new Finding("port", Finding.Warning, $"{port} can not be listened on: {e.Message}", "A broker started here would need another: --port, --metrics-port");
            }

            yield return finding;
        }
    }

    private async Task<Finding> AskAsync(Brokers.RunningBroker broker)
    {
        var name = $"the broker at {broker.Url} (process {broker.ProcessId})";
        if (broker.MetricsUrl is null)
            return new Finding("broker", Finding.Warning, $"{name} has not told where its health can be asked for");
        try
        {
            using var client = new DispatchClient(new DispatchClientOptions { Server = broker.Url, AgentId = "doctor", RetryFor = TimeSpan.Zero, Timeout = TimeSpan.FromSeconds(5) });
            var ready = await client.GetReadinessAsync(broker.MetricsUrl, run.Stop);
            return ready.IsReady
                ? new Finding("broker", Finding.Fine, $"{name} is ready, at event {ready.Sequence}")
                : new Finding("broker", Finding.Fault, $"{name} is not ready: {ready.Reason}");
        }
        catch (Exception e) when (e is DispatchException or DispatchUnreachableException)
        {
            return new Finding("broker", Finding.Warning, $"{name} does not answer; it did not stop in good order", "Start it again with: dispatch serve");
        }
    }

    private async Task<Finding> StoreAsync(DatabaseSettings database)
    {
        if (!database.IsPostgres && !File.Exists(database.FilePath))
            return new Finding("store", Finding.Warning, $"{database.FilePath} is not there yet", "The first dispatch serve makes it.");
        try
        {
            var report = await StoreCheck.RunAsync(database.Location, progress: null, run.Stop);
            return report.IsSound
                ? new Finding("store", Finding.Fine, report.Events == 0 ? "nothing has happened yet" : $"{Plural.Of(report.Events, "event")} keep the rules and fold to the {Plural.Of(report.Rows.Tasks, "task")} in the tables{(report.Horizon > 1 ? $"; kept from event {report.Horizon} on" : "")}")
                : new Finding("store", Finding.Fault, $"{Plural.Of(report.Count, "fault")} in the log or the tables", "Stop the broker, keep this directory, and restore the last backup.") { Details = [.. report.Findings.Select(found => found.ToString()!)] };
        }
        catch (BrokerStartException e)
        {
            return new Finding("store", Finding.Fault, e.Message, e.Next);
        }
    }
}
