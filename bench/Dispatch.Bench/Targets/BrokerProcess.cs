using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;

namespace Dispatch.Bench.Targets;

/// <summary>A real <c>dispatch serve</c> on a data directory of its own, with the defaults but for the rate limit.</summary>
internal sealed class BrokerProcess : IAsyncDisposable
{
    /// <summary>The whole configuration that a run gives the broker.</summary>
    public const string Configuration = "limits: { requests_per_second: 0 }\n";

    // A store of a million tasks has to be loaded first; twice what it must is the end of waiting.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly ChildProcess _child;
    private readonly HttpClient _http;

    private BrokerProcess(ChildProcess child, HttpClient http, Target target, double startSeconds)
    {
        _child = child;
        _http = http;
        Target = target;
        StartSeconds = startSeconds;
        Gauge = new ProcessGauge(child.Id);
    }

    public Target Target { get; }

    public string AdminToken { get; private init; } = "";

    public ProcessGauge Gauge { get; }

    /// <summary>From exec until <c>/ready</c> answered 200.</summary>
    public double StartSeconds { get; }

    /// <summary>Starts it and waits until it is ready.</summary>
    /// <param name="program">Path of the command.</param>
    /// <param name="directory">Holds configuration, log and <c>data/</c>; kept when the broker stops.</param>
    /// <param name="database">The address of its store; null: a file in <c>data/</c>.</param>
    /// <param name="cancellation">Gives up waiting, and ends the process.</param>
    public static async Task<BrokerProcess> StartAsync(string program, string directory, string? database, CancellationToken cancellation)
    {
        var data = Path.Combine(directory, "data");
        Directory.CreateDirectory(data);
        var announcement = Path.Combine(data, "broker.json");
        File.Delete(announcement);
        var configuration = Path.Combine(directory, "dispatch.yaml");
        await File.WriteAllTextAsync(configuration, database is null ? Configuration : $"{Configuration}database: {{ url: \"{database}\" }}\n", cancellation);

        var started = Stopwatch.GetTimestamp();
        var child = ChildProcess.Start(
            Path.Combine(directory, "log"),
            program, "serve", "--config", configuration, "--data-dir", data, "--port", "0", "--metrics-port", "0");
        var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
        try
        {
            var (url, operations) = await AnnouncedAsync(child, announcement, started, cancellation);
            http.BaseAddress = new Uri(url);
            while (!await IsReadyAsync(http, operations, cancellation))
            {
                ThrowWhenHopeless(child, started);
                await Task.Delay(1, cancellation);
            }

            var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
            var token = (await File.ReadAllTextAsync(Path.Combine(data, "admin-token"), cancellation)).Trim();
            http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
            return new BrokerProcess(child, http, Target.At(url), seconds) { AdminToken = token };
        }
        catch
        {
            http.Dispose();
            await child.DisposeAsync();
            throw;
        }
    }

    /// <summary>Registers agents that offer <see cref="TaskRequest.Capability"/>.</summary>
    public async Task RegisterAsync(IEnumerable<string> agents, int maxConcurrent, CancellationToken cancellation)
    {
        var body = $$"""{"capabilities":["{{TaskRequest.Capability}}"],"owner":"bench","max_concurrent":{{maxConcurrent}}}""";
        foreach (var agent in agents)
            await CallAsync(HttpMethod.Put, $"/api/v1/agents/{agent}", agent, body, cancellation);
    }

    /// <summary>Does something as the administrator.</summary>
    public async Task AdministerAsync(HttpMethod method, string path, string? body, CancellationToken cancellation) =>
        await CallAsync(method, path, "admin", body, cancellation, AdminToken);

    /// <summary>Takes agents out again.</summary>
    public async Task DeregisterAsync(IEnumerable<string> agents, CancellationToken cancellation)
    {
        foreach (var agent in agents)
            await CallAsync(HttpMethod.Delete, $"/api/v1/agents/{agent}", agent, null, cancellation);
    }

    /// <summary>
    /// Puts an agent there that can do the tasks and is full, so that they wait for their turn as tasks usually do; without any
    /// agent, each would be told why nobody can do it.
    /// </summary>
    /// <returns>Keeps the agent alive until it is disposed. It takes the first task.</returns>
    public async Task<IAsyncDisposable> AddFullAgentAsync(CancellationToken cancellation)
    {
        await RegisterAsync([FullAgent], 1, cancellation);
        return new Heartbeats(this, cancellation);
    }

    public Task HeartbeatAsync(string agent, CancellationToken cancellation) =>
        CallAsync(HttpMethod.Post, $"/api/v1/agents/{agent}/heartbeat", agent, """{"status":"ready"}""", cancellation);

    /// <summary>How many tasks the broker itself counts in a status.</summary>
    public async Task<long> CountAsync(string status, CancellationToken cancellation)
    {
        using var stats = JsonDocument.Parse(await CallAsync(HttpMethod.Get, "/api/v1/stats", "bench", null, cancellation));
        return stats.RootElement.GetProperty("tasks").GetProperty(status).GetInt64();
    }

    /// <summary>Compares the broker's own count with the client's.</summary>
    /// <exception cref="RunFailedException">They differ: what was measured was not what was asked for.</exception>
    public async Task ExpectAsync(string status, long count, CancellationToken cancellation)
    {
        var found = await CountAsync(status, cancellation);
        if (found != count)
            throw new RunFailedException($"The broker counts {found} tasks {status}, the client {count}.");
    }

    /// <summary>Stops it gracefully.</summary>
    /// <exception cref="RunFailedException">It had to be killed.</exception>
    public async Task StopAsync()
    {
        if (!await _child.StopAsync())
            throw new RunFailedException("The broker did not stop within 20 s and was killed.");
    }

    /// <summary>The end of the broker's log.</summary>
    public string LastOutput() => _child.LastOutput();

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _child.DisposeAsync();
    }

    private static async Task<(string Url, string Operations)> AnnouncedAsync(ChildProcess child, string announcement, long started, CancellationToken cancellation)
    {
        while (true)
        {
            if (File.Exists(announcement) && await ReadAsync(announcement, cancellation) is { } found)
                return found;

            ThrowWhenHopeless(child, started);
            await Task.Delay(1, cancellation);
        }
    }

    private static async Task<(string Url, string Operations)?> ReadAsync(string announcement, CancellationToken cancellation)
    {
        try
        {
            using var json = JsonDocument.Parse(await File.ReadAllTextAsync(announcement, cancellation));
            return (json.RootElement.GetProperty("url").GetString()!, json.RootElement.GetProperty("metrics_url").GetString()!);
        }
        catch (JsonException)
        {
            // Caught half-written: the next look sees all of it.
            return null;
        }
    }

    private static async Task<bool> IsReadyAsync(HttpClient http, string operations, CancellationToken cancellation)
    {
        using var answer = await http.GetAsync(new Uri(new Uri(operations), "/ready"), cancellation);
        return answer.IsSuccessStatusCode;
    }

    private static void ThrowWhenHopeless(ChildProcess child, long started)
    {
        if (child.HasExited)
            throw new RunFailedException($"The broker ended while starting: {child.LastOutput()}");

        if (Stopwatch.GetElapsedTime(started) > Patience)
            throw new RunFailedException($"The broker was not ready after {Patience.TotalSeconds} s: {child.LastOutput()}");
    }

    private async Task<string> CallAsync(HttpMethod method, string path, string caller, string? body, CancellationToken cancellation, string? token = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        request.Headers.Add("X-Agent-ID", caller);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");

        using var answer = await _http.SendAsync(request, cancellation);
        var text = await answer.Content.ReadAsStringAsync(cancellation);
        return answer.IsSuccessStatusCode
            ? text
            : throw new RunFailedException($"{method} {path}: {(int)answer.StatusCode} {text}");
    }

    private const string FullAgent = "full-agent";

    private sealed class Heartbeats : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop;
        private readonly Task _beating;

        public Heartbeats(BrokerProcess broker, CancellationToken cancellation)
        {
            _stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            _beating = BeatAsync(broker, _stop.Token);
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _beating;
            _stop.Dispose();
        }

        private static async Task BeatAsync(BrokerProcess broker, CancellationToken stop)
        {
            using var timer = new PeriodicTimer(TimeSpan.FromSeconds(5));
            try
            {
                while (await timer.WaitForNextTickAsync(stop))
                    await broker.HeartbeatAsync(FullAgent, stop);
            }
            catch (OperationCanceledException)
            {
                // The row is done.
            }
        }
    }
}
