using System.Diagnostics;
using Dispatch.Chaos.Brokers;
using Dispatch.Chaos.Checking;
using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Load;
using Dispatch.Chaos.Wire;

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
    private const int SpotChecks = 200;
    private static readonly TimeSpan AimLimit = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan WarmUpLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan DrainLimit = TimeSpan.FromSeconds(45);
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(50);

    private readonly CrashOptions _options;
    private readonly TextWriter _output;
    private readonly RunDirectory _directory;
    private readonly Random _random;
    private readonly int _port;
    private readonly RunClock _clock = new();
    private readonly BrokerProcess _broker;
    private readonly Crowd _crowd;
    private readonly Caller _auditor;
    private readonly CancellationTokenSource _endOfLoad = new();
    private readonly List<double> _restartsMs = [];
    private readonly List<Finding> _findings = [];
    private readonly List<string> _skipped = [];
    private readonly HashSet<string> _acknowledged = [];
    private int _kills;
    private int _killsInRecovery;

    /// <param name="output">Where progress is told.</param>
    public CrashRun(CrashOptions options, TextWriter output)
    {
        _options = options;
        _output = output;
        _random = new Random(options.Seed);
        _port = FreePort.Find(_random);
        _directory = RunDirectory.Create(options.Seed);
        _directory.WriteConfig(_port, LeaseMs);
        _broker = new BrokerProcess(options.Dispatch, _directory, _port, options.Bug);
        _crowd = new Crowd(options, _port, _directory.Histories, LeaseMs, _clock);
        _auditor = new Caller("auditor", _port, new HistoryFile("auditor", _directory.Histories, _clock));
    }

    /// <summary>Everything the run writes is in here.</summary>
    public string Home => _directory.Path;

    /// <summary>Runs to the verdict. Whatever happens, no process is left; what the run wrote is kept unless it passed.</summary>
    public async Task<Verdict> RunAsync(CancellationToken cancel)
    {
        var began = Stopwatch.GetTimestamp();
        // Without a broker the actors would knock for ever.
        using var life = CancellationTokenSource.CreateLinkedTokenSource(cancel, _broker.Died);
        await using var tie = life.Token.Register(_endOfLoad.Cancel);
        Snapshot? snapshot = null;
        try
        {
            await _output.WriteLineAsync($"ready after {(await _broker.StartAsync(life.Token)).TotalMilliseconds:0} ms, in {Home}");
            _crowd.Start(_endOfLoad.Token);
            await WarmUpAsync(life.Token);
            var wentWell = await KillAgainAndAgainAsync(life.Token);
            snapshot = await SettleAsync(wentWell, life.Token);
            await _broker.StopAsync(life.Token);
            await ExamineStoreAsync(life.Token);
        }
        catch (Exception e) when (e is BrokerException or InvalidDataException)
        {
            _findings.Add(new Finding(FindingKind.Breach, "I-22", "broker", e.Message));
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            _findings.Add(new Finding(FindingKind.Breach, "I-22", "broker", _broker.Epitaph));
        }
        catch (OperationCanceledException)
        {
            await EndAsync();
            _directory.Delete();
            throw;
        }

        await EndAsync();
        if (_crowd.Fault is { } fault)
            _findings.Add(new Finding(FindingKind.Breach, "I-22", "actor", fault.Message));
        var verdict = Judge(History.Read(_directory.Histories), snapshot, (long)Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        if (verdict.Passed)
            _directory.Delete();
        else
            await File.WriteAllTextAsync(Path.Combine(_directory.Path, "verdict.json"), verdict.ToJson(), cancel);
        return verdict;
    }

    public void Dispose()
    {
        _broker.Dispose();
        _auditor.Dispose();
        _crowd.Dispose();
        _endOfLoad.Dispose();
    }

    /// <summary>Waits until the load is under way, so that even the first kill on a busy machine hits one.</summary>
    private async Task WarmUpAsync(CancellationToken cancel)
    {
        _crowd.Budget.Add(_options.TasksPerKill);
        var began = Stopwatch.GetTimestamp();
        while (_acknowledged.Count < _options.TasksPerKill / 2 && _crowd.Fault is null && Stopwatch.GetElapsedTime(began) < WarmUpLimit)
        {
            await Task.Delay(Glance, cancel);
            _acknowledged.UnionWith(_crowd.TakeAcknowledged());
        }
    }

    /// <summary>Returns false when something was found that makes further kills pointless.</summary>
    private async Task<bool> KillAgainAndAgainAsync(CancellationToken cancel)
    {
        while (_kills < _options.Kills)
        {
            _crowd.Budget.Add(_options.TasksPerKill);
            // Kills come so fast that no lease would ever run out; now and then one has to.
            var isLong = (_kills + 1) % LongRoundEvery == 0;
            if (isLong)
                _crowd.FallSilent();
            await Task.Delay(isLong ? LeaseMs + 1_000 : _random.Next(20, 1_501), cancel);
            // Half of the kills come at any moment, half right after an acknowledgement, where a broken promise is nearest.
            if (_random.Next(2) == 0)
                await Task.WhenAny(_crowd.NextAcknowledgementAsync(), Task.Delay(AimLimit, cancel));

            await RestartAsync(twice: (_kills + 1) % DoubleKillEvery == 0, cancel);
            _kills++;
            var fresh = _crowd.TakeAcknowledged();
            _acknowledged.UnionWith(fresh);
            if (await LooseAsync(fresh, cancel) is > 0 and var lost)
            {
                await _output.WriteLineAsync($"kill {_kills}: {lost} tasks acknowledged just before are gone");
                return false;
            }

            if (_crowd.Fault is { } fault)
            {
                await _output.WriteLineAsync($"kill {_kills}: an actor ended: {fault.Message}");
                return false;
            }

            if (_kills % 10 == 0)
                await _output.WriteLineAsync(
                    $"kill {_kills} of {_options.Kills}: {_acknowledged.Count} tasks acknowledged, last restart {_restartsMs[^1]:0} ms, slowest {_restartsMs.Max():0} ms");
        }

        return true;
    }

    /// <param name="twice">The broker is killed once more while it recovers.</param>
    private async Task RestartAsync(bool twice, CancellationToken cancel)
    {
        await _broker.KillAsync(cancel);
        if (twice)
        {
            await _broker.StartAndKillAsync(TimeSpan.FromMilliseconds(_random.Next(20, 400)), cancel);
            _killsInRecovery++;
        }

        _restartsMs.Add((await _broker.StartAsync(cancel)).TotalMilliseconds);
    }

    /// <summary>Looks for the newest of these tasks and returns how many are not there.</summary>
    private async Task<int> LooseAsync(IReadOnlyList<string> acknowledged, CancellationToken cancel)
    {
        var missing = 0;
        foreach (var task in acknowledged.TakeLast(SpotChecks))
        {
            var look = await _auditor.PerformAsync(
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
        await _crowd.CalmAsync();
        var readback = new Readback(_port);
        var began = Stopwatch.GetTimestamp();
        int open;
        while ((open = await readback.CountOpenAsync(cancel)) > 0 && Stopwatch.GetElapsedTime(began) < DrainLimit && _crowd.Fault is null)
            await Task.Delay(Glance, cancel);
        await _crowd.StopAsync();
        await _output.WriteLineAsync(
            $"drained in {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s{(open > 0 ? $", {open} tasks left open" : "")}; reading everything back");

        await RestartAsync(twice: false, cancel);
        var snapshot = await readback.ReadAsync(isDrained: open == 0 || (wentWell && _crowd.Fault is null), cancel);
        foreach (var task in snapshot.Tasks.Where(task => snapshot.IsDrained && !Histories.TaskStatus.IsFinal(task.Status)).Take(3))
            await _output.WriteLineAsync($"{task.Id} is still {task.Status}: {await readback.ExplainAsync(task.Id, cancel)}");
        return snapshot;
    }

    private async Task ExamineStoreAsync(CancellationToken cancel)
    {
        var store = new StoreChecks(_options.Dispatch, _directory);
        _findings.AddRange(await store.RunDoctorAsync(cancel));
        var (findings, skipped) = await store.CountEventsAsync(cancel);
        _findings.AddRange(findings);
        if (skipped is not null)
            _skipped.Add(skipped);
    }

    /// <summary>Ends the broker and the load.</summary>
    private async Task EndAsync()
    {
        _broker.Dispose();
        await _endOfLoad.CancelAsync();
        await _crowd.StopAsync();
        _auditor.Dispose();
    }

    private Verdict Judge(History history, Snapshot? snapshot, long durationMs)
    {
        var counts = Situations.Count(history, snapshot ?? new Snapshot([], IsDrained: false));
        if (snapshot is not null)
        {
            _findings.InsertRange(0, HistoryChecker.Check(history, snapshot));
            if (_findings.Count == 0)
                _findings.AddRange(Situations.Missing(counts, _kills));
        }

        return new Verdict(
            _options.Seed, _kills, _killsInRecovery, _options.Bug, counts, _restartsMs, durationMs, _findings, _skipped, _findings.Count == 0 ? null : _directory.Path);
    }
}
