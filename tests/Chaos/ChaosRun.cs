using System.Diagnostics;
using Dispatch.Chaos.Brokers;
using Dispatch.Chaos.Checking;
using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Load;
using Dispatch.Chaos.Nodes;

namespace Dispatch.Chaos;

/// <summary>
/// One run: load on three nodes of one database, one fault after another, and after each the nodes have to answer again. In the end everything is read
/// back and compared with what the actors were told.
/// </summary>
public sealed class ChaosRun : IDisposable
{
    private const int LeaseMs = 2_000;
    private static readonly TimeSpan WarmUpLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(100);

    private readonly CrashOptions options;
    private readonly TextWriter output;
    private readonly IReadOnlyList<PlannedFault> schedule;
    private readonly RunDirectory directory;
    private readonly Random chance;
    private readonly RunClock clock = new();
    private readonly CancellationTokenSource endOfLoad = new();
    private readonly CancellationTokenSource stopSentries = new();
    private readonly List<Finding> findings = [];
    private readonly List<Injected> injected = [];
    private readonly List<Sentry> sentries = [];
    private Availability availability = new(0);
    private IReadOnlyList<Task> watching = [];
    private Cluster? cluster;
    private Crowd? crowd;

    /// <param name="output">Where progress is told.</param>
    /// <param name="only">No other faults than these; null: all kinds.</param>
    public ChaosRun(CrashOptions options, TextWriter output, FaultKind? only = null)
    {
        this.options = options;
        this.output = output;
        schedule = Schedule.Draw(options.Seed, options.Faults, only);
        chance = new Random(options.Seed);
        directory = RunDirectory.Create(options.Seed);
    }

    /// <summary>Runs to the verdict. Whatever happens, no process is left; what the run wrote is kept unless it passed.</summary>
    public async Task<ChaosVerdict> RunAsync(CancellationToken cancel)
    {
        var began = Stopwatch.GetTimestamp();
        Snapshot? snapshot = null;
        using var life = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        await using var tie = life.Token.Register(endOfLoad.Cancel);
        try
        {
            cluster = await Cluster.CreateAsync(options, directory, LeaseMs, chance);
            foreach (var member in cluster.Members)
                member.Broker.Died.Register(life.Cancel);
            snapshot = await RunAsync(cluster, life.Token);
        }
        catch (Exception e) when (e is BrokerException or InvalidDataException)
        {
            findings.Add(new Finding(FindingKind.Breach, "I-22", "node", e.Message));
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            findings.Add(new Finding(FindingKind.Breach, "I-22", "node", cluster?.Epitaph ?? "ended by itself"));
        }
        catch (OperationCanceledException)
        {
            await EndAsync();
            directory.Delete();
            throw;
        }

        await EndAsync();
        foreach (var fault in new[] { crowd?.Fault, SentryFault }.OfType<Exception>())
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
        foreach (var sentry in sentries)
            sentry.Dispose();
        crowd?.Dispose();
        endOfLoad.Dispose();
        stopSentries.Dispose();
    }

    private Exception? SentryFault => watching.FirstOrDefault(sentry => sentry.IsFaulted)?.Exception?.InnerException;

    private async Task<Snapshot> RunAsync(Cluster nodes, CancellationToken cancel)
    {
        await nodes.StartAllAsync(cancel);
        await output.WriteLineAsync($"{nodes.Members.Count} nodes ready, in {directory.Path}");
        await Limits.SetAsync(options, nodes.Members[0].Directory, cancel);
        var load = crowd = new Crowd(options, [.. nodes.Members.Select(member => member.Port)], directory.Histories, LeaseMs, clock);
        availability = new Availability(nodes.Members.Count);
        sentries.AddRange(nodes.Members.Select((member, index) => new Sentry(index, member.Port, directory.Histories, clock, availability, new Random(options.Seed + index))));
        load.Budget.Add(options.TasksPerKill);
        load.Start(endOfLoad.Token);
        watching = [.. sentries.Select(sentry => sentry.RunAsync(stopSentries.Token, endOfLoad.Token))];

        var wentWell = await HaveAllSinceAsync(clock.NowUs, WarmUpLimit, cancel);
        if (!wentWell)
            Blame("start", WarmUpLimit);
        var injector = new Injector(nodes);
        foreach (var fault in schedule)
        {
            if (!wentWell)
                break;
            wentWell = await InjectAsync(nodes, load, injector, fault, cancel);
        }

        return await SettleAsync(nodes, load, wentWell, cancel);
    }

    /// <summary>Returns false when something was found that makes further faults pointless.</summary>
    private async Task<bool> InjectAsync(Cluster nodes, Crowd load, Injector injector, PlannedFault fault, CancellationToken cancel)
    {
        load.Budget.Add(options.TasksPerKill);
        await Task.Delay(fault.After, cancel);
        var before = await nodes.FindWriterAsync(cancel) ?? throw new InvalidDataException("No node writes, with nothing the matter.");
        var writer = nodes.Members.First(member => member.Name == before.Node);

        var at = clock.NowUs;
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var takeOver = WatchAsync(nodes, before, over.Token);
        var isSprung = await injector.InjectAsync(fault, writer, cancel);
        var healed = clock.NowUs;
        var isBack = await HaveAllSinceAsync(healed, RecoveryLimit, cancel);
        var now = clock.NowUs;
        await over.CancelAsync();

        var one = new Injected(
            fault.Kind, before.Node, isSprung, (long)fault.Length.TotalMilliseconds, await takeOver, (long)availability.LongestGap(at, now).TotalMilliseconds, (now - healed) / 1_000);
        injected.Add(one);
        await output.WriteLineAsync($"fault {injected.Count} of {schedule.Count}: {one}");
        if (load.Fault is not null || SentryFault is not null)
            return false;
        // The others may have to do without the writer or the database for as long as the fault lasts, and no longer.
        isBack &= one.GapMs <= (fault.Length + RecoveryLimit).TotalMilliseconds;
        if (!isBack)
            Blame($"fault {injected.Count}", RecoveryLimit);
        return isBack;
    }

    /// <summary>Milliseconds until the place was taken, by whomever; null: it was not.</summary>
    private async Task<long?> WatchAsync(Cluster nodes, Writing before, CancellationToken over)
    {
        var began = Stopwatch.GetTimestamp();
        try
        {
            while (true)
            {
                await Task.Delay(Glance, over);
                if (await nodes.FindWriterAsync(over) is { } now && now.Epoch > before.Epoch)
                    return (long)Stopwatch.GetElapsedTime(began).TotalMilliseconds;
            }
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            return null;
        }
    }

    private async Task<bool> HaveAllSinceAsync(long us, TimeSpan limit, CancellationToken cancel)
    {
        for (var began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < limit && SentryFault is null; await Task.Delay(Glance, cancel))
        {
            if (availability.HaveAllSince(us))
                return true;
        }

        return availability.HaveAllSince(us);
    }

    private void Blame(string what, TimeSpan limit) =>
        findings.Add(new Finding(FindingKind.Unavailable, "I-22", what, $"not every node took a task again within {limit.TotalSeconds:0} s"));

    /// <summary>Lets everything come to its end, kills all nodes once more so that only what is durable is left, reads it all, and looks at the store.</summary>
    private async Task<Snapshot> SettleAsync(Cluster nodes, Crowd load, bool wentWell, CancellationToken cancel)
    {
        await stopSentries.CancelAsync();
        await Task.WhenAll(watching).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await load.CalmAsync();
        var readback = new Readback(nodes.Members[0].Port);
        var began = Stopwatch.GetTimestamp();
        int open;
        while ((open = await readback.CountOpenAsync(cancel)) > 0 && Stopwatch.GetElapsedTime(began) < DrainLimit && load.Fault is null)
            await Task.Delay(Glance, cancel);
        await load.StopAsync();
        await output.WriteLineAsync(
            $"drained in {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s{(open > 0 ? $", {open} tasks left open" : "")}; reading everything back");

        await nodes.KillAllAsync(cancel);
        await nodes.StartAllAsync(cancel);
        var snapshot = await readback.ReadAsync(isDrained: open == 0 || (wentWell && load.Fault is null), cancel);
        foreach (var member in nodes.Members)
            await member.Broker.StopAsync(cancel);
        var store = new StoreChecks(options.Dispatch, nodes.Members[0].Directory, nodes.Database);
        findings.AddRange(await store.RunDoctorAsync(cancel));
        findings.AddRange((await store.CountEventsAsync(isWhole: true, cancel)).Findings);
        return snapshot;
    }

    /// <summary>Ends the nodes, the database and the load.</summary>
    private async Task EndAsync()
    {
        if (cluster is not null)
            await cluster.DisposeAsync();
        cluster = null;
        await stopSentries.CancelAsync();
        await endOfLoad.CancelAsync();
        await Task.WhenAll(watching).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (crowd is not null)
            await crowd.StopAsync();
        foreach (var sentry in sentries)
            sentry.Dispose();
    }

    /// <summary>A writer that stood still or was cut off for longer than its lease, and stayed writer: then nothing was put to the test.</summary>
    private IEnumerable<Finding> Untaken() => injected.Where(one => one is { Kind: FaultKind.KillWriter or FaultKind.PauseWriter or FaultKind.SwallowWriter, TakeOverMs: null })
        .Select(one => new Finding(FindingKind.Idle, "I-22", one.Writer, $"nobody took its place after {one.Kind}"));

    private ChaosVerdict Judge(History history, Snapshot? snapshot, long durationMs)
    {
        var counts = Situations.Count(history, snapshot ?? new Snapshot([], IsDrained: false));
        if (snapshot is not null)
        {
            findings.InsertRange(0, HistoryChecker.Check(history, snapshot));
            if (findings.Count == 0)
                findings.AddRange(Situations.Missing(counts, kills: 1).Concat(Untaken()));
            if (findings.Count == 0 && !injected.Exists(one => one.IsSprung))
                findings.Add(new Finding(FindingKind.Idle, "I-22", "faults", "none took effect"));
        }

        return new ChaosVerdict(options.Seed, options.Bug, injected, counts, durationMs, findings, findings.Count == 0 ? null : directory.Path);
    }
}
