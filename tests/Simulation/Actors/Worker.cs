using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Actors;

/// <summary>
/// An agent: mostly honest. It may also be slow, die without a word, come back and report what it no longer holds, lie about what it holds,
/// sleep and not wake, leave and come back with other abilities.
/// </summary>
internal sealed class Worker(Universe universe, string name, Random random)
{
    public static readonly string[] Owners = ["ann", "bob"];

    private static readonly string[] Capabilities = ["code", "review", "search", "deploy"];

    private readonly List<Job> jobs = [];
    private readonly List<Job> ended = [];
    private readonly List<Bill> bills = [];
    private AgentStatus status = AgentStatus.Ready;
    private bool isRegistered;
    private Broker? broker;
    private int most = 1;

    private Weather Weather => universe.Weather;

    /// <summary>Some of the capabilities, in any case.</summary>
    public static string[] DrawCapabilities(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => random.Pick(Capabilities)).Distinct(StringComparer.Ordinal).Select(name => random.Chance(0.2) ? name.ToUpperInvariant() : name)];

    public async Task RunAsync()
    {
        await universe.DelayAsync(random.NextDouble() * 1_500);
        while (universe.TakeOperation())
        {
            if (!isRegistered)
                await RegisterAsync();
            else if (Weather.WorkersMisbehave && random.Chance(0.12))
                await MisbehaveAsync();
            else if (Weather.AgentsComeAndGo && random.Chance(0.06))
                await ComeAndGoAsync();
            else if (Weather.AgentsSleep && random.Chance(0.08))
                await RestAsync();
            else if (Weather.WorkIsLimited && random.Chance(0.1))
                await TellUsageAsync();
            else if (random.Chance(0.15))
                await HeartbeatAsync();
            else if (random.Chance(0.2) && jobs.Exists(job => job.DoneAt <= universe.Milliseconds))
                await ReportOneAsync();
            else
                await ExchangeAsync();
            await universe.DelayAsync(random.NextDouble() * random.Pick([1, 30, Weather.WorkMs]));
        }
    }

    private async Task RegisterAsync()
    {
        most = random.Pick([1, 2, 5]);
        var before = universe.Disk.Agents.GetValueOrDefault(name);
        var capabilities = DrawCapabilities(random, random.Next(1, 6));
        var reply = await universe.Edge.ExecuteAsync(new RegisterAgent(
            name, capabilities, random.Chance(0.4) ? random.Pick(Owners) : null, null, most, random.Chance(0.9) ? AgentStatus.Ready : status, null)
        { Caller = name });
        if (!reply.IsAnswered)
            return;
        isRegistered = true;
        status = reply.Value!.Agent.Status;
        if (before is not null && before.Capabilities.Length > capabilities.Length)
            universe.Reached(Situation.RegisteredWithLess);
    }

    private async Task ExchangeAsync()
    {
        var reports = new List<TaskReport>();
        var reported = new List<Job>();
        foreach (var job in jobs.Where(job => job.DoneAt <= universe.Milliseconds))
        {
            reports.Add(Report(job));
            reported.Add(job);
        }

        if (Weather.WorkersMisbehave && random.Chance(0.1) && ended.Count > 0)
            reports.Add(Report(random.Pick(ended)));
        var holding = random.Chance(0.7) ? jobs.Select(job => new HeldAttempt(job.Task, random.Chance(0.8) ? job.Attempt : null)).ToList() : [];
        if (Weather.WorkersMisbehave && random.Chance(0.05) && universe.Known.Count > 0)
            holding.Add(new HeldAttempt(random.Pick(universe.Known), 1));
        var max = random.Chance(0.1) ? 0 : Math.Max(0, most - jobs.Count);
        var exchange = new ExchangeWork(name, reports, holding, random.Chance(0.2) ? status : null, max) { Caller = name };
        var reply = await universe.Edge.ExchangeAsync(exchange, random.Chance(0.4) ? TimeSpan.FromMilliseconds(random.Next(2_000)) : TimeSpan.Zero);
        if (!reply.IsAnswered)
            return;
        if (reply.Value is not { } outcome)
        {
            isRegistered = false;
            return;
        }

        if (broker is not null && broker != universe.Broker && holding.Exists(held => universe.Disk.Find(held.Task) is { Task.Status: TaskState.Assigned }))
            universe.Reached(Situation.ConfirmedAfterRestart);
        broker = universe.Broker;
        for (var i = 0; i < reports.Count; i++)
            Take(reports[i], outcome.Reports[i]);
        foreach (var job in reported)
            End(job);
        foreach (var granted in outcome.Tasks)
            Begin(granted.Task, holding);
        foreach (var revoked in outcome.Revoked)
            Stop(revoked);
        if (outcome.Wake && random.Chance(0.7))
            await WakeAsync();
    }

    private async Task ReportOneAsync()
    {
        var job = jobs.Find(job => job.DoneAt <= universe.Milliseconds)!;
        var report = Report(job);
        var reply = await universe.Edge.ReportAsync(name, report, byAdmin: false);
        if (reply.IsAnswered)
        {
            Take(report, reply.Value);
            End(job);
        }
        else if (reply.Certainty == Certainty.Refused && job.WasRefused)
        {
            universe.Reached(Situation.ReportRefusedThenRepeated);
        }

        job.WasRefused |= reply.Certainty == Certainty.Refused;
        if (reply.IsAnswered && random.Chance(0.2) && report.Ends != AttemptOutcome.None)
        {
            var again = await universe.Edge.ReportAsync(name, report, byAdmin: false);
            if (again.IsAnswered)
                Take(report, again.Value);
        }
    }

    private TaskReport Report(Job job)
    {
        int? attempt = random.Chance(0.9) ? job.Attempt : null;
        if (attempt is null)
            universe.Reached(Situation.ReportWithoutAttempt);
        if (Weather.WorkersMisbehave && random.Chance(0.05))
            attempt = job.Attempt + random.Next(-1, 2);
        return job.Plan switch
        {
            Plan.Fail => new TaskReport.Failed(job.Task, attempt, "it did not work", true, random.Chance(0.2) ? random.Next(2_000) : null, DrawUsage(), DrawModel()),
            Plan.FailForGood => new TaskReport.Failed(job.Task, attempt, "it can't work", false, null, null),
            Plan.Release => new TaskReport.Released(job.Task, attempt, null),
            Plan.Start => new TaskReport.Started(job.Task, attempt),
            Plan.Progress => new TaskReport.Progressed(job.Task, attempt, random.Next(101), null, null),
            _ => new TaskReport.Completed(job.Task, attempt, universe.Ledger.Completing(name, job.Task, attempt), DrawUsage(), DrawModel()),
        };
    }

    private static readonly Events.JsonBytes Usage = new("{\"tokens_in\":7}"u8.ToArray());

    private Events.JsonBytes? DrawUsage() => Weather.WorkIsLimited && random.Chance(0.8) ? Treasurer.DrawUsage(random) : random.Chance(0.3) ? Usage : null;

    private string? DrawModel() => Weather.WorkIsLimited ? Treasurer.DrawModel(random) : null;

    private void Take(TaskReport report, ReportVerdict verdict)
    {
        universe.Trace.Add("agent.told", name, verdict.ToString(), report.Attempt ?? 0);
        switch (verdict)
        {
            case ReportVerdict.Accepted:
                universe.Ledger.Accepted(name, report);
                break;
            case ReportVerdict.Unchanged:
                universe.Ledger.Accepted(name, report);
                universe.Reached(Situation.RepeatedReport);
                break;
            case ReportVerdict.Stale:
                universe.Reached(Situation.StaleReport);
                break;
            case ReportVerdict.Foreign:
                universe.Reached(Situation.ForeignReport);
                break;
        }
    }

    private void Begin(WorkTask task, List<HeldAttempt> holding)
    {
        universe.Ledger.Granted(name, task);
        if (holding.Exists(held => held.Task == task.Id && held.Attempt == task.Attempt))
            universe.Fail("exchange", $"Agent {name} said that it holds attempt {task.Attempt} of task {task.Id} and was given it again.");
        if (jobs.Exists(job => job.Task == task.Id && job.Attempt == task.Attempt) || ended.Exists(job => job.Task == task.Id && job.Attempt == task.Attempt))
        {
            universe.Reached(Situation.DeliveredAgain);
            return;
        }

        jobs.RemoveAll(job => job.Task == task.Id);
        jobs.Add(Draw(task));
    }

    private Job Draw(WorkTask task)
    {
        var plan = random.Weighted([6, 1, 1, 1, 2, 2]) switch
        {
            1 => Plan.Fail,
            2 => Plan.FailForGood,
            3 => Plan.Release,
            4 => Plan.Start,
            5 => Plan.Progress,
            _ => Plan.Complete,
        };
        var takes = random.NextDouble() * Weather.WorkMs;
        if (Weather.WorkersMisbehave && random.Chance(0.1))
            takes = task.TimeoutMs + random.Next(-30, 30);
        return new Job(task.Id, task.Attempt, plan, universe.Milliseconds + (long)takes);
    }

    private void End(Job job)
    {
        if (job.Plan is Plan.Start or Plan.Progress)
        {
            jobs[jobs.IndexOf(job)] = job with { Plan = random.Chance(0.8) ? Plan.Complete : Plan.Fail, DoneAt = universe.Milliseconds + (long)(random.NextDouble() * Weather.WorkMs) };
            return;
        }

        jobs.Remove(job);
        ended.Add(job);
    }

    private void Stop(Revocation revoked)
    {
        universe.Reached(revoked.Reason == "not_held" ? Situation.NotHeldTold : Situation.RevocationTold);

        // A zombie goes on all the same.
        if (!Weather.WorkersMisbehave || random.Chance(0.5))
            jobs.RemoveAll(job => job.Task == revoked.Task && job.Attempt <= revoked.Attempt);
    }

    /// <summary>Tells what it used before the end or after it, of no task or of one that is not its own; and tells it again, or something else under the same id.</summary>
    private async Task TellUsageAsync()
    {
        if (bills.Count > 0 && random.Chance(0.4))
        {
            var known = random.Pick(bills);
            await SendAsync(known, random.Chance(0.3) ? known.Report with { Attempt = (known.Report.Attempt ?? 0) + 7 } : known.Report);
            return;
        }

        var job = jobs.Count > 0 && random.Chance(0.7) ? random.Pick(jobs) : ended.Count > 0 ? random.Pick(ended) : null;
        TaskId? task = Weather.WorkersMisbehave && universe.Known.Count > 0 && random.Chance(0.2) ? random.Pick(universe.Known) : random.Chance(0.8) ? job?.Task : null;
        int? attempt = task is not null && task == job?.Task && random.Chance(0.8) ? job.Attempt : null;
        var bill = new Bill(new ReportUsage(
            $"{name} {bills.Count}", name, task, attempt, DrawModel(), task is null && random.Chance(0.3) ? random.Pick(Treasurer.Repos) : null, Treasurer.DrawUsage(random), new UsageFacts(0, null, null)));
        bills.Add(bill);

        // Sometimes twice at once: it thought that the first was lost.
        var again = random.Chance(0.3) ? SendAsync(bill, bill.Report) : Task.CompletedTask;
        await SendAsync(bill, bill.Report);
        await again;
    }

    private async Task SendAsync(Bill bill, ReportUsage report)
    {
        var before = bill.Sequence;
        var reply = await universe.Edge.ReportUsageAsync(report, byAdmin: false);

        // What the log no longer holds is not known any more.
        var isKept = before is { } known && known >= universe.Disk.Horizon;
        switch (reply.Value)
        {
            case UsageOutcome.Taken taken when report != bill.Report:
                if (isKept)
                    universe.Fail("I-3", $"Another report of {name} under the id {report.Id} was taken.");
                bill.Report = report;
                bill.Sequence = taken.Sequence;
                break;
            case UsageOutcome.Taken taken:
                if (isKept && (taken.IsNew || taken.Sequence != before))
                    universe.Fail("I-3", $"Report {report.Id} of {name} was booked at {before}, and again at {taken.Sequence}.");
                bill.Sequence = taken.Sequence;
                Note(report, taken.IsNew);
                break;
            case UsageOutcome.Mismatch when report == bill.Report:
                universe.Fail("I-3", $"A repeat of {name}'s report {report.Id} is called another one.");
                break;
            case UsageOutcome.Mismatch:
                universe.Reached(Situation.UsageIdMisused);
                break;
            case UsageOutcome.NotTheAgents:
                universe.Reached(Situation.UsageOfAnothersTask);
                break;
        }
    }

    private void Note(ReportUsage report, bool isNew)
    {
        if (!isNew)
            universe.Reached(Situation.UsageRepeated);
        else if (report.Task is not { } task)
            universe.Reached(Situation.UsageOfNoTask);
        else
            universe.Reached(universe.Disk.Find(task) is { Task.IsHeld: true } ? Situation.UsageWhileRunning : Situation.UsageAfterEnd);
    }

    private async Task HeartbeatAsync()
    {
        var reply = await universe.Edge.ExecuteAsync(new Heartbeat(name, random.Chance(0.5) ? status : null) { Caller = name });
        if (!reply.IsAnswered)
            return;
        if (reply.Value is not { } outcome)
        {
            isRegistered = false;
            return;
        }

        foreach (var revoked in outcome.Revoked)
            Stop(revoked);
        if (outcome.Wake && random.Chance(0.7))
            await WakeAsync();
    }

    private async Task MisbehaveAsync()
    {
        switch (random.Next(4))
        {
            case 0:
                // Dead for a while, perhaps for longer than its lease; then it comes back and knows nothing of it.
                await universe.DelayAsync(random.NextDouble() * Weather.State.LeaseMs * 3);
                break;
            case 1:
                if (universe.Known.Count > 0)
                    await LieAsync();
                break;
            case 2:
                // It lost its memory.
                jobs.Clear();
                break;
            case 3:
                if (ended.Count > 0)
                    await SendAsync(Report(random.Pick(ended)));
                break;
        }
    }

    private async Task LieAsync()
    {
        await SendAsync(new TaskReport.Failed(random.Pick(universe.Known), random.Chance(0.5) ? random.Next(1, 4) : null, "not mine", true, null, null));
    }

    private async Task SendAsync(TaskReport report)
    {
        var reply = await universe.Edge.ReportAsync(name, report, byAdmin: false);
        if (reply.IsAnswered)
            Take(report, reply.Value);
    }

    private async Task ComeAndGoAsync()
    {
        if (random.Chance(0.5))
        {
            await RegisterAsync();
            return;
        }

        // Sometimes both at once, without waiting for the answer to the first.
        var leaving = universe.Edge.ExecuteAsync(new DeregisterAgent(name) { Caller = name });
        if (random.Chance(0.3))
            await RegisterAsync();
        var reply = await leaving;
        if (reply is { IsAnswered: true, Value: > 0 })
            universe.Reached(Situation.LeftWithWork);
        isRegistered = false;
    }

    private async Task RestAsync()
    {
        status = random.Pick([AgentStatus.Sleeping, AgentStatus.Sleeping, AgentStatus.Busy, AgentStatus.Degraded, AgentStatus.Ready]);
        var until = universe.Milliseconds + random.Next(6_000);
        await TellStatusAsync();
        while (status != AgentStatus.Ready && universe.Milliseconds < until && universe.TakeOperation())
        {
            await universe.DelayAsync(random.NextDouble() * Weather.State.LeaseMs * 0.6);
            if (Weather.AgentsComeAndGo && random.Chance(0.15))
                await RegisterAsync();
            else
                await HeartbeatAsync();
        }

        status = AgentStatus.Ready;
        await TellStatusAsync();
    }

    private Task WakeAsync()
    {
        status = random.Chance(0.9) ? AgentStatus.Ready : AgentStatus.Busy;
        return TellStatusAsync();
    }

    private Task TellStatusAsync() => universe.Edge.ExecuteAsync(new Heartbeat(name, status) { Caller = name });

    private enum Plan
    {
        Complete,
        Fail,
        FailForGood,
        Release,
        Start,
        Progress,
    }

    /// <summary>A usage report that it sent, perhaps without hearing of it.</summary>
    private sealed class Bill(ReportUsage report)
    {
        public ReportUsage Report { get; set; } = report;

        /// <summary>Where it was booked; null while that is not known.</summary>
        public long? Sequence { get; set; }
    }

    private sealed record Job(TaskId Task, int Attempt, Plan Plan, long DoneAt)
    {
        public bool WasRefused { get; set; }
    }
}
