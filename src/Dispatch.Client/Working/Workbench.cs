namespace Dispatch.Client;

/// <summary>A report on its way, and the hold it is about.</summary>
internal readonly record struct Outgoing(Hold Hold, TaskReport Report);

/// <summary>
/// What a worker holds and what it still has to say about it. No I/O, no clock, no threads: the worker's loop is its only user.
/// </summary>
internal sealed class Workbench(int maxConcurrent, WorkerRecord record, Action progressed, Action<Hold, StopCause, string?> stopHandler, Action<WorkerNotice> notice)
{
    private const int MostReports = 1000;
    private const int MostSettled = 4096;

    private readonly Dictionary<HoldKey, Hold> holds = [];
    private readonly LinkedList<Hold> waiting = new();
    private readonly Dictionary<HoldKey, long> settled = [];
    private readonly Queue<HoldKey> settledOrder = new();
    private long exchanges;
    private int working;

    /// <summary>Handlers at work, also on attempts that are lost.</summary>
    public int Working => working;

    /// <summary>True when nothing is held and nothing is left to say.</summary>
    public bool IsEmpty => holds.Count == 0;

    public bool HasWaiting => waiting.Count > 0;

    /// <summary>The handlers at work.</summary>
    public IEnumerable<Task> Handlers => holds.Values.Where(hold => hold.Phase == HoldPhase.Working).Select(hold => hold.Handler);

    /// <summary>How many more tasks there is room for.</summary>
    public int Free => Math.Max(0, maxConcurrent - working - waiting.Count);

    /// <summary>Reports that go into one exchange at most; lowered when the broker finds a request too large or faulty.</summary>
    public int BatchLimit { get; private set; } = MostReports;

    public bool HasStartedReports => holds.Values.Any(hold => hold is { Gone: false, Started: not null });

    public bool HasFinalReports => holds.Values.Any(hold => hold is { Gone: false, Final: not null });

    public bool HasProgress => holds.Values.Any(hold => hold is { Gone: false, Progress: not null });

    /// <summary>Numbers an exchange that is about to be sent.</summary>
    public long NextExchange() => ++exchanges;

    /// <summary>Takes in delivered tasks; those held already, or settled while the answer was on its way, are ignored.</summary>
    /// <param name="exchange">The number of the exchange that brought them.</param>
    public void Accept(IReadOnlyList<DispatchTask> tasks, long exchange)
    {
        foreach (var task in tasks)
        {
            var key = new HoldKey(task.Id, task.Attempt);
            // Two exchanges can be under way at once, so an answer written before a report was taken may be read after it.
            if (holds.ContainsKey(key) || (settled.TryGetValue(key, out var lastBefore) && exchange <= lastBefore))
            {
                record.Note(s => s with { Duplicates = s.Duplicates + 1 });
                continue;
            }
            if (holds.Values.Where(other => other.Key.TaskId == task.Id && !other.Gone).MaxBy(other => other.Key.Attempt) is { } other)
            {
                if (other.Key.Attempt > task.Attempt)
                    continue;
                // With its last word on the way, the next attempt may well come of that: the answer will tell.
                if (other.Final is null)
                    Lose(other, StopCause.LeaseLost, "A newer attempt was delivered.");
            }
            var hold = new Hold(task, progressed);
            holds.Add(key, hold);
            waiting.AddLast(hold);
        }
    }

    /// <summary>The next task for a free hand, now counted as begun; null when there is none.</summary>
    public Hold? Begin()
    {
        if (working >= maxConcurrent || waiting.First?.Value is not { } hold)
            return null;
        waiting.RemoveFirst();
        hold.Phase = HoldPhase.Working;
        hold.Started = hold.Report(ReportOutcome.Started);
        Count(+1);
        return hold;
    }

    /// <summary>A handler has returned.</summary>
    public void Finish(Hold hold, WorkResult result)
    {
        if (hold.Phase != HoldPhase.Working)
            return;
        Count(-1);
        hold.Phase = HoldPhase.Over;
        if (hold.Gone)
        {
            Settle(hold);
            return;
        }
        hold.Final = result switch
        {
            WorkResult.Completed done => hold.Report(ReportOutcome.Completed) with { Result = done.Result, Usage = done.Usage, Model = done.Model },
            // What fails under the hands of a worker that is stopping says nothing about the task.
            WorkResult.Failed when hold.Item.StopCause == StopCause.Shutdown => hold.Report(ReportOutcome.Released),
            WorkResult.Failed failed => hold.Report(ReportOutcome.Failed) with
            {
                Error = failed.Error,
                Retryable = failed.Retryable,
                RetryAfter = failed.RetryAfter,
                Usage = failed.Usage,
                Model = failed.Model,
            },
            _ => hold.Report(ReportOutcome.Released),
        };
    }

    /// <summary>Hands back everything that no handler has begun.</summary>
    public void ReleaseWaiting()
    {
        foreach (var hold in waiting)
        {
            hold.Phase = HoldPhase.Over;
            hold.Final = hold.Report(ReportOutcome.Released);
        }
        waiting.Clear();
    }

    /// <summary>Asks every handler to stop, for the worker's own reasons.</summary>
    public void StopHandlers(string reason)
    {
        foreach (var hold in holds.Values)
        {
            if (hold.Phase == HoldPhase.Working)
                stopHandler(hold, StopCause.Shutdown, reason);
        }
    }

    /// <summary>Hands back what handlers will not let go of.</summary>
    public void Abandon()
    {
        foreach (var hold in holds.Values.Where(hold => hold.Phase == HoldPhase.Working).ToList())
        {
            notice(new WorkerNotice(WorkerNoticeKind.HandlerAbandoned, "The handler did not return in time.", hold.Key.TaskId, hold.Key.Attempt));
            Finish(hold, WorkResult.Release());
        }
    }

    /// <summary>Everything the worker claims to hold, but for what this batch settles.</summary>
    public IReadOnlyList<HeldTask> Holding(IReadOnlyList<Outgoing> batch)
    {
        var ending = batch.Where(sent => ReferenceEquals(sent.Report, sent.Hold.Final)).Select(sent => sent.Hold.Key).ToHashSet();
        return [.. holds.Values.Where(hold => !hold.Gone && !ending.Contains(hold.Key)).Select(hold => new HeldTask(hold.Key.TaskId, hold.Key.Attempt))];
    }

    /// <summary>What there is to say, each hold's reports in the order they came about.</summary>
    public IReadOnlyList<Outgoing> Batch()
    {
        var batch = new List<Outgoing>();
        foreach (var hold in holds.Values)
        {
            if (hold.Gone)
                continue;
            foreach (var report in (ReadOnlySpan<TaskReport?>)[hold.Started, hold.Progress, hold.Final])
            {
                if (batch.Count == BatchLimit)
                    return batch;
                if (report is not null)
                    batch.Add(new Outgoing(hold, report));
            }
        }
        return batch;
    }

    /// <summary>Notes what the broker made of a batch. What it did not answer stays to be said again.</summary>
    /// <returns>False when it left something unanswered.</returns>
    public bool Answered(IReadOnlyList<Outgoing> batch, IReadOnlyList<ReportAnswer> answers)
    {
        BatchLimit = Math.Min(MostReports, BatchLimit * 2);
        var complete = true;
        for (var i = 0; i < batch.Count; i++)
        {
            var (hold, report) = batch[i];
            if (i >= answers.Count || answers[i].TaskId != report.TaskId)
                complete = false;
            else if (!hold.Gone)
                Answered(hold, report, answers[i]);
        }
        return complete;
    }

    /// <summary>A batch did not get through: the next one is smaller, in case its size was why.</summary>
    public void NotAnswered(IReadOnlyList<Outgoing> batch) => BatchLimit = Math.Max(1, batch.Count / 2);

    /// <summary>The broker found a request faulty or too large: looks for the report that is, and puts a failure in its place.</summary>
    public void Refused(IReadOnlyList<Outgoing> batch, string detail)
    {
        if (batch.Count > 1)
            NotAnswered(batch);
        else
            Refused(batch[0].Hold, batch[0].Report, detail);
    }

    /// <summary>The broker no longer wants this attempt.</summary>
    public void Cancelled(CancelledWork cancelled)
    {
        if (!holds.TryGetValue(new HoldKey(cancelled.TaskId, cancelled.Attempt), out var hold) || hold.Gone || hold.Final is not null)
            return;
        // That it is not held is all the broker can say to a claim; why it is not was told in another answer, or lost with one.
        Lose(hold, cancelled.Reason == "not_held" ? StopCause.LeaseLost : StopCause.Cancelled, cancelled.Reason);
    }

    /// <summary>The broker has forgotten this agent, and with it whatever it held.</summary>
    public void LoseAll(string reason)
    {
        foreach (var hold in holds.Values.Where(hold => !hold.Gone).ToList())
            Lose(hold, StopCause.LeaseLost, reason);
    }

    private void Answered(Hold hold, TaskReport report, ReportAnswer answer)
    {
        switch (answer.Status)
        {
            case "accepted" or "unchanged":
                Accepted(hold, report);
                break;
            case "stale" or "unknown" when hold.Final is not null && !ReferenceEquals(report, hold.Final):
                // After a lost answer the batch is said again, and a start said after the end is stale; the last word's own answer counts.
                hold.ProgressAnswered(report);
                hold.Started = null;
                break;
            case "stale" or "unknown":
                Lose(hold, StopCause.LeaseLost, answer.Error ?? (answer.Status == "stale" ? "The attempt is over." : "The broker does not know the task."));
                break;
            default:
                Refused(hold, report, answer.Error ?? answer.Status);
                break;
        }
    }

    private void Accepted(Hold hold, TaskReport report)
    {
        hold.ProgressAnswered(report);
        if (ReferenceEquals(report, hold.Started))
            hold.Started = null;
        if (!ReferenceEquals(report, hold.Final))
            return;
        record.Note(s => report.Outcome switch
        {
            ReportOutcome.Completed => s with { Completed = s.Completed + 1 },
            ReportOutcome.Failed => s with { Failed = s.Failed + 1 },
            _ => s with { Released = s.Released + 1 },
        });
        notice(new WorkerNotice(WorkerNoticeKind.TaskEnded, $"Reported {report.Outcome}.", report.TaskId, report.Attempt));
        Settle(hold);
    }

    private void Refused(Hold hold, TaskReport report, string detail)
    {
        notice(new WorkerNotice(WorkerNoticeKind.ReportRefused, $"The broker refused the report {report.Outcome}: {detail}", report.TaskId, report.Attempt));
        hold.ProgressAnswered(report);
        if (ReferenceEquals(report, hold.Started))
            hold.Started = null;
        if (!ReferenceEquals(report, hold.Final))
            return;
        // The task must not hang until its time-out because its result cannot be said; that the worker failed to say it can.
        if (report.Outcome == ReportOutcome.Completed)
            hold.Final = hold.Report(ReportOutcome.Failed) with { Error = "The broker refused the result: " + Wording.Shortened(detail, 200), Retryable = false };
        else if (report is { Outcome: ReportOutcome.Failed } && report.Error != RefusedFailure)
            hold.Final = hold.Report(ReportOutcome.Failed) with { Error = RefusedFailure, Retryable = report.Retryable };
        else
            Lose(hold, StopCause.LeaseLost, detail);
    }

    private const string RefusedFailure = "The worker failed, and the broker refused the details.";

    private void Lose(Hold hold, StopCause cause, string? reason)
    {
        hold.Gone = true;
        var cancelled = cause == StopCause.Cancelled;
        record.Note(s => cancelled ? s with { Cancelled = s.Cancelled + 1 } : s with { Lost = s.Lost + 1 });
        notice(new WorkerNotice(cancelled ? WorkerNoticeKind.TaskCancelled : WorkerNoticeKind.LeaseLost, reason ?? "No reason given.", hold.Key.TaskId, hold.Key.Attempt));
        if (hold.Phase == HoldPhase.Working)
        {
            stopHandler(hold, cause, reason);
            return;
        }
        waiting.Remove(hold);
        Settle(hold);
    }

    private void Settle(Hold hold)
    {
        holds.Remove(hold.Key);
        settled[hold.Key] = exchanges;
        settledOrder.Enqueue(hold.Key);
        if (settledOrder.Count > MostSettled)
            settled.Remove(settledOrder.Dequeue());
    }

    private void Count(int change)
    {
        working += change;
        record.Note(s => s with { Running = working });
    }
}
