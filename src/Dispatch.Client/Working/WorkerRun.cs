using System.Runtime.ExceptionServices;
using System.Threading.Channels;

namespace Dispatch.Client;

/// <summary>
/// One run of a worker. Everything that happens (an answer, a handler's end, the clock, the stop) is a message in one mailbox, read by
/// one loop that owns all state; after each round it decides in <see cref="Advance"/> what to send next.
/// </summary>
/// <remarks>
/// Two calls are under way at most: the long poll, which brings work, and one other, which carries reports or a sign of life and so
/// never waits behind the poll.
/// </remarks>
internal sealed class WorkerRun
{
    private static readonly TimeSpan AssumedLease = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan LongestSilenceAtWork = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan PatienceToLeave = TimeSpan.FromSeconds(5);

    // A poll that comes back empty this soon was not held: a broker that does so again and again is not to be hammered.
    private static readonly TimeSpan HardlyHeld = TimeSpan.FromMilliseconds(50);

    // That a task has begun can wait this long for company: short tasks then cost one exchange and not two.
    private static readonly TimeSpan StartedLinger = TimeSpan.FromMilliseconds(10);

    private readonly DispatchClient client;
    private readonly DispatchWorkerOptions options;
    private readonly Func<WorkItem, CancellationToken, Task<WorkResult>> handler;
    private readonly TimeProvider clock;
    private readonly long origin;
    private readonly string agentId;
    private readonly Workbench bench;
    private readonly Backoff backoff;
    private readonly Backoff pollPauses;
    private readonly Backoff warmUpPauses;
    private readonly Channel<Action> mailbox = Channel.CreateUnbounded<Action>(new UnboundedChannelOptions { SingleReader = true });
    private readonly CancellationTokenSource ending = new();
    private readonly CancellationTokenSource pollStop = new();
    private readonly List<Task> calls = [];

    private bool polling;
    private bool talking;
    private bool exchanging;
    private bool registered;
    private bool over;
    private bool introduced;
    private Exception? fatal;

    private int failures;
    private TimeSpan awayUntil;
    private int emptyPolls;
    private TimeSpan pollNotBefore;

    private TimeSpan lease = AssumedLease;
    private bool leaseKnown;
    private TimeSpan lastSign;
    private TimeSpan lastReports;
    private TimeSpan? begunSince;

    private bool asleep;
    private bool warming;
    private string? statusToSay;
    private TimeSpan idleSince;
    private TimeSpan readySaid = TimeSpan.FromSeconds(-1);
    private int failedWarmUps;
    private TimeSpan? sleepAgainAt;

    private bool stopping;
    private bool unwinding;
    private TimeSpan graceEnds;
    private TimeSpan? flushEnds;
    private TimeSpan nextTick;

    public WorkerRun(DispatchClient client, DispatchWorkerOptions options, Func<WorkItem, CancellationToken, Task<WorkResult>> handler, WorkerRecord record)
    {
        this.client = client;
        this.options = options;
        this.handler = handler;
        clock = client.Options.Clock;
        origin = clock.GetTimestamp();
        agentId = client.Options.AgentId;
        var random = new Random();
        backoff = new Backoff(client.Options.RetryBase, client.Options.RetryCap, random);
        pollPauses = new Backoff(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(250), random);
        warmUpPauses = new Backoff(TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(1), random);
        bench = new Workbench(options.MaxConcurrent, record, () => Post(static () => { }), StopHandler, Say);
    }

    private TimeSpan Now => clock.GetElapsedTime(origin);

    private TimeSpan HeartbeatEvery => options.HeartbeatInterval ?? (bench.Working > 0 && lease / 3 > LongestSilenceAtWork ? LongestSilenceAtWork : lease / 3);

    public async Task RunAsync(CancellationToken stop)
    {
        if (stop.IsCancellationRequested)
            return;
        await using var timer = clock.CreateTimer(_ => Post(static () => { }), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        await using var onStop = stop.Register(() => Post(BeginStop));
        try
        {
            for (Advance(); !over; Advance())
            {
                timer.Change(nextTick == TimeSpan.MaxValue ? Timeout.InfiniteTimeSpan : Max(nextTick - Now, TimeSpan.FromMilliseconds(1)), Timeout.InfiniteTimeSpan);
                await mailbox.Reader.WaitToReadAsync(CancellationToken.None);
                while (mailbox.Reader.TryRead(out var message))
                    message();
                calls.RemoveAll(call => call.IsCompletedSuccessfully);
            }
        }
        finally
        {
            mailbox.Writer.Complete();
            bench.StopHandlers("The worker has ended.");
            await EndAsync();
        }
        if (fatal is not null)
            ExceptionDispatchInfo.Throw(fatal);
        if (options.LeaveOnStop && introduced)
            await LeaveAsync();
    }

    private async Task EndAsync()
    {
        await pollStop.CancelAsync();
        await ending.CancelAsync();
        try
        {
            await Task.WhenAll([.. calls, .. bench.Handlers]).WaitAsync(options.UnwindGrace, clock);
        }
        catch (TimeoutException late)
        {
            Say(new WorkerNotice(WorkerNoticeKind.HandlerAbandoned, "Handlers did not return in time.", Cause: late));
        }
    }

    /// <summary>Starts whatever is to be started now, and sets when to look again if nothing happens.</summary>
    private void Advance()
    {
        nextTick = TimeSpan.MaxValue;
        if (fatal is not null)
        {
            over = true;
            return;
        }
        if (stopping)
            WindUp();
        else if (!asleep)
            BeginWork();
        if (over)
            return;
        if (!IsDue(awayUntil))
            return;

        FallAsleepWhenIdle();
        if (!talking)
            Talk();
        if (CanPoll() && IsDue(pollNotBefore))
            Poll();
    }

    private void BeginWork()
    {
        while (bench.Begin() is { } hold)
        {
            Say(new WorkerNotice(WorkerNoticeKind.TaskStarted, hold.Item.Task.Title, hold.Key.TaskId, hold.Key.Attempt));
            hold.Handler = RunHandlerAsync(hold);
            begunSince ??= Now;
        }
    }

    /// <summary>The one other call: the first of what is most urgent.</summary>
    private void Talk()
    {
        if (!registered)
        {
            if (!stopping)
                Register();
        }
        else if (ReportsAreDue())
        {
            SendReports();
        }
        else if (!leaseKnown || statusToSay is not null || IsDue(lastSign + HeartbeatEvery))
        {
            Heartbeat();
        }
    }

    private bool ReportsAreDue() => bench.HasFinalReports
        || statusToSay == AgentStatus.Ready
        || (begunSince is { } begun && IsDue(begun + StartedLinger))
        || (bench.HasProgress && IsDue(lastReports + options.ProgressInterval));

    private bool CanPoll() => registered && !polling && !exchanging && !stopping && !warming && bench.Free > 0
        && !bench.HasFinalReports && statusToSay != AgentStatus.Ready;

    private void Register()
    {
        var registration = new AgentRegistration
        {
            Capabilities = options.Capabilities,
            Owner = options.Owner,
            Labels = options.Labels,
            MaxConcurrent = options.MaxConcurrent,
            Status = asleep ? AgentStatus.Sleeping : AgentStatus.Ready,
            Wake = options.Wake,
        };
        introduced = true;
        var began = BeginTalk();
        Start(stop => client.RegisterAgentAsync(agentId, registration, stop), _ =>
        {
            EndTalk();
            Answered(began);
            registered = true;
            leaseKnown = false;
            statusToSay = null;
            Say(new WorkerNotice(WorkerNoticeKind.Registered, $"Registered as {agentId}."));
        }, failure =>
        {
            EndTalk();
            Failed(failure);
        }, ending.Token);
    }

    private void Heartbeat()
    {
        var status = statusToSay;
        var began = BeginTalk();
        Start(stop => client.HeartbeatAsync(agentId, status, stop), answer =>
        {
            EndTalk();
            Answered(began);
            StatusSaid(status);
            LearnLease(answer);
            foreach (var cancelled in answer.Cancelled)
                bench.Cancelled(cancelled);
            if (answer.Wake)
                WakeUp();
        }, failure =>
        {
            EndTalk();
            Failed(failure);
        }, ending.Token);
    }

    private void SendReports()
    {
        var batch = bench.Batch();
        var status = statusToSay;
        var request = new ExchangeRequest { Reports = batch.Count == 0 ? null : [.. batch.Select(sent => sent.Report)], Holding = bench.Holding(batch), Status = status };
        var max = stopping || warming ? 0 : bench.Free;
        var number = bench.NextExchange();
        var began = BeginTalk();
        exchanging = true;
        lastReports = began;
        begunSince = null;
        Start(stop => client.ExchangeAsync(agentId, request, max, TimeSpan.Zero, stop), answer =>
        {
            EndTalk();
            StatusSaid(status);
            if (bench.Answered(batch, answer.Reports))
                Answered(began);
            else
                GoAway("The broker left reports unanswered.", null, null);
            TakeIn(answer, number);
        }, failure =>
        {
            EndTalk();
            if (bench.HasStartedReports)
                begunSince = Now;
            if (batch.Count > 0 && failure is DispatchException { Status: 400 or 413 } refused)
            {
                bench.Refused(batch, refused.Detail);
                return;
            }
            if (batch.Count > 1)
                bench.NotAnswered(batch);
            Failed(failure);
        }, ending.Token);
    }

    private void Poll()
    {
        var request = new ExchangeRequest { Holding = bench.Holding([]) };
        var max = bench.Free;
        var number = bench.NextExchange();
        var began = Now;
        polling = true;
        Start(stop => client.ExchangeAsync(agentId, request, max, options.PollWait, stop), answer =>
        {
            polling = false;
            Answered(began);
            emptyPolls = answer.Tasks.Count + answer.Cancelled.Count == 0 && Now - began < HardlyHeld ? emptyPolls + 1 : 0;
            pollNotBefore = emptyPolls > 2 ? Now + pollPauses.Pause(emptyPolls - 2) : TimeSpan.Zero;
            TakeIn(answer, number);
        }, failure =>
        {
            polling = false;
            Failed(failure);
        }, pollStop.Token);
    }

    private TimeSpan BeginTalk()
    {
        talking = true;
        return Now;
    }

    private void EndTalk()
    {
        talking = false;
        exchanging = false;
    }

    private void StatusSaid(string? status)
    {
        if (statusToSay == status)
            statusToSay = null;
    }

    private void TakeIn(ExchangeAnswer answer, long number)
    {
        foreach (var cancelled in answer.Cancelled)
            bench.Cancelled(cancelled);
        bench.Accept(answer.Tasks, number);
        if (answer.Tasks.Count > 0)
            emptyPolls = 0;
        if (answer.Wake || (asleep && bench.HasWaiting))
            WakeUp();
    }

    private void Answered(TimeSpan began)
    {
        lastSign = Max(lastSign, began);
        if (failures > 0)
            Say(new WorkerNotice(WorkerNoticeKind.BrokerBack, "The broker answers again."));
        failures = 0;
        awayUntil = TimeSpan.Zero;
    }

    private void Failed(Exception failure)
    {
        switch (failure)
        {
            case DispatchException { Code: "agent_not_found" } forgotten:
                registered = false;
                if (stopping)
                    bench.LoseAll(forgotten.Detail);
                break;
            case DispatchException refused when refused.Status is 429 or >= 500 || refused.Code == "unreadable_answer":
                GoAway(refused.Detail, refused.RetryAfter, refused);
                break;
            case DispatchException refused:
                fatal ??= refused;
                break;
            case OperationCanceledException when stopping:
                break;
            case DispatchUnreachableException lost:
                GoAway(lost.Message, null, lost);
                break;
            default:
                fatal ??= failure;
                break;
        }
    }

    private void GoAway(string why, TimeSpan? asked, Exception? cause)
    {
        if (failures++ == 0)
            Say(new WorkerNotice(WorkerNoticeKind.BrokerAway, why, Cause: cause));
        awayUntil = Now + backoff.Pause(failures, asked);
    }

    /// <summary>How long a lease is, from two readings of the broker's own clock.</summary>
    private void LearnLease(HeartbeatAnswer answer)
    {
        leaseKnown = true;
        if (answer.LeaseExpiresAt - answer.Agent.LastSeenAt is { } told && told > TimeSpan.Zero)
            lease = told;
    }

    private void FallAsleepWhenIdle()
    {
        if (!bench.IsEmpty)
            idleSince = Now;
        if (sleepAgainAt is { } again && IsDue(again))
        {
            sleepAgainAt = null;
            statusToSay = AgentStatus.Sleeping;
        }
        if (options.SleepAfter is not { } after || asleep || stopping || !registered || !bench.IsEmpty || !IsDue(idleSince + after))
            return;
        asleep = true;
        statusToSay = AgentStatus.Sleeping;
        Say(new WorkerNotice(WorkerNoticeKind.Sleeping, "Nothing to do; asleep."));
    }

    private void WakeUp()
    {
        if (stopping || warming)
            return;
        if (!asleep)
        {
            // The broker may not have heard it yet; saying it once a second is enough.
            if (readySaid + TimeSpan.FromSeconds(1) > Now)
                return;
            readySaid = Now;
            statusToSay = AgentStatus.Ready;
            return;
        }
        warming = true;
        Start(async stop =>
        {
            if (options.WarmUp is { } warmUp)
                await warmUp(stop);
            return true;
        }, _ =>
        {
            warming = false;
            if (stopping)
                return;
            asleep = false;
            failedWarmUps = 0;
            idleSince = readySaid = Now;
            statusToSay = AgentStatus.Ready;
            Say(new WorkerNotice(WorkerNoticeKind.Woken, "Awake and ready."));
        }, failure =>
        {
            warming = false;
            if (stopping)
                return;
            // Degraded is never given work: without it the same task would come back at once, to the same end.
            statusToSay = AgentStatus.Degraded;
            sleepAgainAt = Now + warmUpPauses.Pause(++failedWarmUps);
            bench.ReleaseWaiting();
            Say(new WorkerNotice(WorkerNoticeKind.WarmUpFailed, failure.Message, Cause: failure));
        }, ending.Token);
    }

    private void BeginStop()
    {
        stopping = true;
        graceEnds = Now + options.ShutdownGrace;
        // While the last work runs on, its free places must not attract more.
        statusToSay = AgentStatus.Degraded;
        Say(new WorkerNotice(WorkerNoticeKind.Stopping, "Stopping: no more work is taken."));
    }

    private void WindUp()
    {
        bench.ReleaseWaiting();
        // Work that is on its way must not be cut off while the broker does not know yet what has begun here.
        if (polling && !pollStop.IsCancellationRequested && ((!talking && !bench.HasStartedReports) || bench.IsEmpty))
            pollStop.Cancel();
        if (bench.Working > 0)
        {
            if (!unwinding && IsDue(graceEnds))
            {
                unwinding = true;
                bench.StopHandlers("The worker is stopping.");
            }
            if (!unwinding || !IsDue(graceEnds + options.UnwindGrace))
                return;
            bench.Abandon();
        }
        flushEnds ??= Now + options.FlushGrace;
        var saidEnough = bench.IsEmpty && !polling && !exchanging && (options.LeaveOnStop || !registered || statusToSay is null);
        over = saidEnough || IsDue(flushEnds.Value);
    }

    private async Task LeaveAsync()
    {
        using var patience = new CancellationTokenSource(PatienceToLeave, clock);
        try
        {
            await client.LeaveAsync(agentId, patience.Token);
            Say(new WorkerNotice(WorkerNoticeKind.Left, $"{agentId} has left."));
        }
        catch (DispatchException gone) when (gone.Code == "agent_not_found")
        {
            Say(new WorkerNotice(WorkerNoticeKind.Left, $"{agentId} was not known any more."));
        }
        catch (Exception failure) when (failure is DispatchException or DispatchUnreachableException or OperationCanceledException)
        {
            Say(new WorkerNotice(WorkerNoticeKind.LeaveFailed, failure.Message, Cause: failure));
        }
    }

    private async Task RunHandlerAsync(Hold hold)
    {
        // Off the loop at once: a handler may compute for a long time before it awaits anything.
        await Task.Yield();
        WorkResult result;
        WorkerNotice? thrown = null;
        try
        {
            result = await handler(hold.Item, hold.Stopping);
        }
        catch (OperationCanceledException) when (hold.Stopping.IsCancellationRequested)
        {
            result = WorkResult.Release();
        }
        catch (Exception failure)
        {
            result = WorkResult.Fail(failure.Message);
            thrown = new WorkerNotice(WorkerNoticeKind.HandlerFailed, failure.Message, hold.Key.TaskId, hold.Key.Attempt, failure);
        }
        Post(() =>
        {
            if (thrown is not null)
                Say(thrown);
            bench.Finish(hold, result);
        });
    }

    private void StopHandler(Hold hold, StopCause cause, string? reason) => calls.Add(StopHandlerAsync(hold, cause, reason));

    private async Task StopHandlerAsync(Hold hold, StopCause cause, string? reason)
    {
        try
        {
            await hold.StopAsync(cause, reason);
        }
        catch (AggregateException thrown)
        {
            // A callback of the handler's own on its token; the handler's end will tell how it went on.
            Post(() => Say(new WorkerNotice(WorkerNoticeKind.HandlerFailed, thrown.Message, hold.Key.TaskId, hold.Key.Attempt, thrown)));
        }
    }

    private void Start<T>(Func<CancellationToken, Task<T>> call, Action<T> then, Action<Exception> otherwise, CancellationToken stop) =>
        calls.Add(CallAsync(call, then, otherwise, stop));

    private async Task CallAsync<T>(Func<CancellationToken, Task<T>> call, Action<T> then, Action<Exception> otherwise, CancellationToken stop)
    {
        await Task.Yield();
        try
        {
            var answer = await call(stop);
            Post(() => then(answer));
        }
        catch (Exception failure)
        {
            Post(() => otherwise(failure));
        }
    }

    private void Post(Action message) => mailbox.Writer.TryWrite(message);

    private void Say(WorkerNotice what) => options.Notice?.Invoke(what);

    /// <summary>Whether a time has come; if not, the loop will look again then.</summary>
    private bool IsDue(TimeSpan time)
    {
        if (Now >= time)
            return true;
        nextTick = time < nextTick ? time : nextTick;
        return false;
    }

    private static TimeSpan Max(TimeSpan one, TimeSpan other) => one > other ? one : other;
}
