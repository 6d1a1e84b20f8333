using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Dispatch.Servers;

/// <summary>
/// A real PostgreSQL of its own in a directory of its own, with its defaults (fsync on) and a password. Ends with <see cref="DisposeAsync"/>; started by root it runs as
/// user <c>postgres</c>, because it refuses root.
/// </summary>
public sealed partial class PostgresServer : IAsyncDisposable
{
    private const string User = "dispatch";
    private const int Interrupt = 2;
    private const int Kill = 9;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string programs;
    private readonly string directory;
    private readonly string[] settings;
    private readonly string password = RandomNumberGenerator.GetHexString(24, lowercase: true);
    private readonly int port = FreePort();
    private Process? process;

    private PostgresServer(string programs, string directory, string[] settings) => (this.programs, this.directory, this.settings) = (programs, directory, settings);

    /// <summary>Where its programs are; null when it is not installed.</summary>
    public static string? Programs { get; } = FindPrograms();

    /// <summary>Why there is none, for a test that is skipped; null when there is.</summary>
    public static string? Missing => Programs is not null ? null : "PostgreSQL is not installed (make setup installs it)";

    /// <summary>The address of a database.</summary>
    /// <param name="by">The port of a proxy on the way; null: straight.</param>
    public string Url(string database = "postgres", int? by = null) => string.Create(CultureInfo.InvariantCulture, $"postgresql://{User}:{password}@127.0.0.1:{by ?? port}/{database}");

    /// <summary>Where it listens, on 127.0.0.1.</summary>
    public int Port => port;

    /// <summary>Makes a database.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="more">Further words for <c>createdb</c>.</param>
    public Task CreateDatabaseAsync(string name, params string[] more) => RunAsync(
        ["env", $"PGPASSWORD={password}", Path.Combine(programs, "createdb"), "-h", "127.0.0.1", "-p", port.ToString(CultureInfo.InvariantCulture), "-U", User, .. more, name]);

    /// <summary>Runs SQL in a database, as a person would with <c>psql</c>.</summary>
    /// <returns>What it gave, unaligned and without headings.</returns>
    public async Task<string> QueryAsync(string sql, string database = "postgres")
    {
        var answer = Path.Combine(directory, "answer-" + RandomNumberGenerator.GetHexString(8, lowercase: true));
        using var run = Start(
            ["env", $"PGPASSWORD={password}", "PGOPTIONS=-c default_transaction_read_only=off", Path.Combine(programs, "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port.ToString(CultureInfo.InvariantCulture), "-U", User, "-d", database, "-c", sql],
            answer);
        await run.WaitForExitAsync();
        var said = (await File.ReadAllTextAsync(answer)).Trim();
        File.Delete(answer);
        return run.ExitCode == 0 ? said : throw new InvalidOperationException($"psql ended with {run.ExitCode}: {said}");
    }

    /// <summary>Makes the cluster below a directory and starts it.</summary>
    /// <param name="parent">An existing directory.</param>
    /// <param name="settings">Further settings, as in <c>max_connections=20</c>.</param>
    public static async Task<PostgresServer> StartAsync(string parent, params string[] settings)
    {
        var programs = Programs ?? throw new InvalidOperationException(Missing);
        var directory = Path.Combine(parent, "postgres-" + RandomNumberGenerator.GetHexString(8, lowercase: true));
        Directory.CreateDirectory(directory);
        var server = new PostgresServer(programs, directory, settings);
        var passwordFile = Path.Combine(directory, "password");
        await File.WriteAllTextAsync(passwordFile, server.password);
        if (Environment.IsPrivilegedProcess && !OperatingSystem.IsWindows())
        {
            // A temporary directory lets nobody but its owner pass.
            File.SetUnixFileMode(parent, File.GetUnixFileMode(parent) | UnixFileMode.OtherExecute);
            await RunAsync("chown", "-R", "postgres", directory);
        }

        await server.RunAsPostgresAsync("initdb", "-D", server.Data, "-U", User, "--pwfile", passwordFile, "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8");
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>Starts it after a stop or a kill, and waits until it takes connections.</summary>
    /// <param name="more">Further settings for this run.</param>
    public async Task StartAgainAsync(params string[] more)
    {
        string[] all = [$"port={port}", "listen_addresses=127.0.0.1", $"unix_socket_directories={directory}", .. settings, .. more];
        var words = AsPostgres("postgres", ["-D", Data, .. all.SelectMany(setting => new[] { "-c", setting })]);
        process = Start(words, Path.Combine(directory, "log"));
        for (var began = Stopwatch.GetTimestamp(); ; await Task.Delay(20))
        {
            // The children of one that was killed may hold its memory for a moment longer.
            if (process.HasExited && Stopwatch.GetElapsedTime(began) < Patience / 6)
                process = Start(words, Path.Combine(directory, "log"));
            else if (process.HasExited || Stopwatch.GetElapsedTime(began) > Patience)
                throw new InvalidOperationException($"PostgreSQL did not start:\n{await File.ReadAllTextAsync(Path.Combine(directory, "log"))}");
            if (await IsReadyAsync())
                return;
        }
    }

    /// <summary>Stops it in good order; connections are ended.</summary>
    public Task StopAsync() => EndAsync(Interrupt);

    /// <summary>Ends it as a power cut would, but for what the operating system has in its caches.</summary>
    public async Task KillAsync()
    {
        // Its children end by themselves when they see that it is gone.
        await EndAsync(Kill);
        await Task.Delay(100);
    }

    public async ValueTask DisposeAsync()
    {
        if (process is { HasExited: false })
            await StopAsync();
        process?.Dispose();
        for (var tries = 0; ; tries++)
        {
            try
            {
                Directory.Delete(directory, recursive: true);
                return;
            }
            catch (IOException) when (tries < 50)
            {
                // Children of a server that was killed still write.
                await Task.Delay(100);
            }
        }
    }

    private string Data => Path.Combine(directory, "data");

    private async Task EndAsync(int signal)
    {
        if (Signal(process!.Id, signal) != 0)
            throw new InvalidOperationException($"Process {process.Id} can't be signalled.");
        using var patience = new CancellationTokenSource(Patience);
        await process.WaitForExitAsync(patience.Token);
    }

    private async Task<bool> IsReadyAsync()
    {
        using var ask = Start([Path.Combine(programs, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port.ToString(CultureInfo.InvariantCulture), "-U", User], null);
        await ask.WaitForExitAsync();
        return ask.ExitCode == 0;
    }

    private async Task RunAsPostgresAsync(string program, params string[] arguments) => await RunAsync(AsPostgres(program, arguments));

    private string[] AsPostgres(string program, string[] arguments) => Environment.IsPrivilegedProcess
        ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env", Path.Combine(programs, program), .. arguments]
        : [Path.Combine(programs, program), .. arguments];

    private static async Task RunAsync(params string[] words)
    {
        var log = Path.GetTempFileName();
        using var run = Start(words, log);
        await run.WaitForExitAsync();
        var said = await File.ReadAllTextAsync(log);
        File.Delete(log);
        if (run.ExitCode != 0)
            throw new InvalidOperationException($"{words[0]} ended with {run.ExitCode}: {said}");
    }

    // What it says goes to a file: a pipe that nobody reads would stop it one day.
    private static Process Start(string[] words, string? log)
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", $"exec \"$@\" >>'{log ?? "/dev/null"}' 2>&1 </dev/null", "sh", .. words]) { UseShellExecute = false, WorkingDirectory = "/" };
        return Process.Start(start) ?? throw new InvalidOperationException($"{words[0]} can't be started.");
    }

    private static string? FindPrograms()
    {
        var debian = Directory.Exists("/usr/lib/postgresql")
            ? Directory.EnumerateDirectories("/usr/lib/postgresql").OrderByDescending(path => int.TryParse(Path.GetFileName(path), NumberStyles.None, CultureInfo.InvariantCulture, out var version) ? version : 0)
                .Select(path => Path.Combine(path, "bin"))
            : [];
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return debian.Concat(path).FirstOrDefault(place => new[] { "postgres", "initdb", "pg_isready" }.All(program => File.Exists(Path.Combine(place, program))));
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);
}
