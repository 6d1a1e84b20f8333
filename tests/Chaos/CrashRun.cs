using System.Diagnostics;
using Dispatch.Chaos.Brokers;
using Dispatch.Chaos.Checking;
using Dispatch.Chaos.Faults;
using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Load;
using Dispatch.Chaos.Wire;
using Dispatch.Servers;

namespace Dispatch.Chaos;

/// <summary>
/// One run: load on a real broker, SIGKILL and restart again and again, then everything is read back and compared with
/// what the actors were told.
/// </summary>
public sealed class CrashRun : IDisposable
{
    private const int LeaseMs = 2_000;
    private const int LongRoundEvery = 7;
    private const int DoubleKillEvery = 5;
    private const int PostgresKillEvery = 3;
    private const int SpotChecks = 200;
    private static readonly TimeSpan AimLimit = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan WarmUpLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(45);
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(50);

    private readonly CrashOptions options;
    private readonly TextWriter output;
    private readonly RunDirectory directory;
    private readonly Random chance;
    private readonly int port;
    private readonly RunClock clock = new();
    private readonly BrokerProcess broker;
    private readonly Crowd crowd;
    private readonly Caller auditor;
    private readonly CancellationTokenSource endOfLoad = new();
    private readonly CancellationTokenSource fairWeather = new();
    private readonly FaultProxy? network;
    private Weather? weather;
    private Task weatherEnded = Task.CompletedTask;
    private readonly List<double> restartsMs = [];
    private readonly List<Finding> findings = [];
    private readonly List<string> skipped = [];
    private readonly HashSet<string> acknowledged = [];
    private PostgresServer? postgres;
    private int kills;
    private int killsInRecovery;

    /// <param name="output">Where progress is told.</param>
    public CrashRun(CrashOptions options, TextWriter output)
    {
        this.options = options;
        this.output = output;
        chance = new Random(options.Seed);
        port = FreePort.Find(chance);
        directory = RunDirectory.Create(options.Seed);
        directory.WriteConfig(port, LeaseMs, options.LogBytes);
        broker = new BrokerProcess(options.Dispatch, directory, port, options.Bug);
        network = options.BadNetwork ? FaultProxy.Start(port, options.Seed) : null;
        crowd = new Crowd(options, [network?.Port ?? port], directory.Histories, LeaseMs, clock);
        auditor = new Caller("auditor", NodeChoice.Only(port), new HistoryFile("auditor", directory.Histories, clock));
    }

    /// <summary>Everything the run writes is in here.</summary>
    public string Home => directory.Path;

    /// <summary>Runs to the verdict. Whatever happens, no process is left; what the run wrote is kept unless it passed.</summary>
    public async Task<Verdict> RunAsync(CancellationToken cancel)
    {
        var began = Stopwatch.GetTimestamp();
        // Without a broker the actors would knock for ever.
        using var life = CancellationTokenSource.CreateLinkedTokenSource(cancel, broker.Died);
        await using var tie = life.Token.Register(endOfLoad.Cancel);
        Snapshot? snapshot = null;
        try
        {
            if (options.OnPostgres)
            {
                postgres = await PostgresServer.StartAsync(Home);
                directory.WriteConfig(port, LeaseMs, options.LogBytes, postgres.Url());
            }

            await output.WriteLineAsync($"ready after {(await broker.StartAsync(life.Token)).TotalMilliseconds:0} ms, in {Home}");
            await Limits.SetAsync(options, directory, life.Token);
            crowd.Start(endOfLoad.Token);
            if (network is not null)
            {
                weather = new Weather(network, new Random(options.Seed));
                weatherEnded = weather.RunAsync(fairWeather.Token);
            }

            await WarmUpAsync(life.Token);
            var wentWell = await KillAgainAndAgainAsync(life.Token);
            snapshot = await SettleAsync(wentWell, life.Token);
            await broker.StopAsync(life.Token);
            await ExamineStoreAsync(life.Token);
        }
        catch (Exception e) when (e is BrokerException or InvalidDataException)
        {
            findings.Add(new Finding(FindingKind.Breach, "I-22", "broker", e.Message));
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            findings.Add(new Finding(FindingKind.Breach, "I-22", "broker", broker.Epitaph));
        }
        catch (OperationCanceledException)
        {
            await EndAsync();
            directory.Delete();
            throw;
        }

        await EndAsync();
        if (crowd.Fault is { } fault)
            findings.Add(new Finding(FindingKind.Breach, "I-22", "actor", fault.Message));
        var verdict = Judge(History.Read(directory.Histories), snapshot, (long)Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        if (verdict.Passed)
            directory.Delete();
        else
            await File.WriteAllTextAsync(Path.Combine(directory.Path, "verdict.json"), verdict.ToJson(), cancel);
        return verdict;
    }

    public void Dispose()
    {
        broker.Dispose();
        auditor.Dispose();
        crowd.Dispose();
        endOfLoad.Dispose();
        fairWeather.Dispose();
    }

    /// <summary>Waits until the load is under way, so that even the first kill on a busy machine hits one.</summary>
    private async Task WarmUpAsync(CancellationToken cancel)
    {
        crowd.Budget.Add(options.TasksPerKill);
        var began = Stopwatch.GetTimestamp();
        while (acknowledged.Count < options.TasksPerKill / 2 && crowd.Fault is null && Stopwatch.GetElapsedTime(began) < WarmUpLimit)
        {
            await Task.Delay(Glance, cancel);
            acknowledged.UnionWith(crowd.TakeAcknowledged());
        }
    }

    /// <summary>Returns false when something was found that makes further kills pointless.</summary>
    private async Task<bool> KillAgainAndAgainAsync(CancellationToken cancel)
    {
        while (kills < options.Kills)
        {
            crowd.Budget.Add(options.TasksPerKill);
            // Kills come so fast that no lease would ever run out; now and then one has to.
            var isLong = (kills + 1) % LongRoundEvery == 0;
            if (isLong)
                crowd.FallSilent();
            await Task.Delay(isLong ? LeaseMs + 1_000 : chance.Next(20, 1_501), cancel);
            // Half of the kills come at any moment, half right after an acknowledgement, where a broken promise is nearest.
            if (chance.Next(2) == 0)
                await Task.WhenAny(crowd.NextAcknowledgementAsync(), Task.Delay(AimLimit, cancel));

            await RestartAsync(twice: (kills + 1) % DoubleKillEvery == 0, cancel);
            kills++;
            var fresh = crowd.TakeAcknowledged();
            acknowledged.UnionWith(fresh);
            if (await LooseAsync(fresh, cancel) is > 0 and var lost)
            {
                await output.WriteLineAsync($"kill {kills}: {lost} tasks acknowledged just before are gone");
                return false;
            }

            if (crowd.Fault is { } fault)
            {
                await output.WriteLineAsync($"kill {kills}: an actor ended: {fault.Message}");
                return false;
            }

            if (kills % 10 == 0)
                await output.WriteLineAsync(
                    $"kill {kills} of {options.Kills}: {acknowledged.Count} tasks acknowledged, last restart {restartsMs[^1]:0} ms, slowest {restartsMs.Max():0} ms");
        }

        return true;
    }

    /// <param name="twice">The broker is killed once more while it recovers.</param>
    private async Task RestartAsync(bool twice, CancellationToken cancel)
    {
        // With its server gone in the middle of a commit, the broker has to find out what became of it.
        if (postgres is not null && kills % PostgresKillEvery == 2)
        {
            await postgres.KillAsync();
            if (chance.Next(2) == 0)
                await broker.KillAsync(cancel);
            await postgres.StartAgainAsync();
            if (!broker.IsRunning)
                restartsMs.Add((await broker.StartAsync(cancel)).TotalMilliseconds);
            return;
        }

        await broker.KillAsync(cancel);
        if (twice)
        {
            await broker.StartAndKillAsync(TimeSpan.FromMilliseconds(chance.Next(20, 400)), cancel);
            killsInRecovery++;
        }

        restartsMs.Add((await broker.StartAsync(cancel)).TotalMilliseconds);
    }

    /// <summary>Looks for the newest of these tasks and returns how many are not there.</summary>
    private async Task<int> LooseAsync(IReadOnlyList<string> fresh, CancellationToken cancel)
    {
        var missing = 0;
        foreach (var task in fresh.TakeLast(SpotChecks))
        {
            var look = await auditor.PerformAsync(
                new Invocation.Look(task), new Sending("GET", "/api/v1/tasks/" + task), reply => new Answer.Seen(reply.Json().ReadSight()), cancel);
            if (look.Code == "task_not_found")
                missing++;
        }

        return missing;
    }

    /// <summary>
    /// Lets everything come to its end, kills the broker once more so that only what is durable is left, and reads it all.
    /// </summary>
    private async Task<Snapshot> SettleAsync(bool wentWell, CancellationToken cancel)
    {
        await CalmWeatherAsync();
        await crowd.CalmAsync();
        var readback = new Readback(port, isLogWhole: options.LogBytes == 0);
        var began = Stopwatch.GetTimestamp();
        int open;
        while ((open = await readback.CountOpenAsync(cancel)) > 0 && Stopwatch.GetElapsedTime(began) < DrainLimit && crowd.Fault is null)
            await Task.Delay(Glance, cancel);
        await crowd.StopAsync();
        await output.WriteLineAsync(
            $"drained in {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s{(open > 0 ? $", {open} tasks left open" : "")}; reading everything back");

        await RestartAsync(twice: false, cancel);
        var snapshot = await readback.ReadAsync(isDrained: open == 0 || (wentWell && crowd.Fault is null), cancel);
        foreach (var task in snapshot.Tasks.Where(task => snapshot.IsDrained && !Histories.TaskStatus.IsFinal(task.Status)).Take(3))
            await output.WriteLineAsync($"{task.Id} is still {task.Status}: {await readback.ExplainAsync(task.Id, cancel)}");
        return snapshot;
    }

    private async Task ExamineStoreAsync(CancellationToken cancel)
    {
        var store = new StoreChecks(options.Dispatch, directory, postgres);
        findings.AddRange(await store.RunDoctorAsync(cancel));
        var (inLog, reason) = await store.CountEventsAsync(isWhole: options.LogBytes == 0, cancel);
        findings.AddRange(inLog);
        if (reason is not null)
            skipped.Add(reason);
    }

    /// <summary>Ends the broker and the load.</summary>
    private async Task EndAsync()
    {
        broker.Dispose();
        if (postgres is not null)
            await postgres.DisposeAsync();
        postgres = null;
        await endOfLoad.CancelAsync();
        await crowd.StopAsync();
        auditor.Dispose();
        await CalmWeatherAsync();
        if (network is not null)
            await network.DisposeAsync();
    }

    private async Task CalmWeatherAsync()
    {
        await fairWeather.CancelAsync();
        await weatherEnded;
        if (weather is not null)
            await output.WriteLineAsync($"the network was bad {weather.Spells} times");
        weather = null;
    }

    private Verdict Judge(History history, Snapshot? snapshot, long durationMs)
    {
        var counts = Situations.Count(history, snapshot ?? new Snapshot([], IsDrained: false));
        if (snapshot is not null)
        {
            findings.InsertRange(0, HistoryChecker.Check(history, snapshot));
            if (findings.Count == 0)
                findings.AddRange(Situations.Missing(counts, kills));
        }

        return new Verdict(
            options.Seed, kills, killsInRecovery, options.Bug, counts, restartsMs, durationMs, findings, skipped, findings.Count == 0 ? null : directory.Path);
    }
}
