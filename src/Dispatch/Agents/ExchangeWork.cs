using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Agents;

/// <param name="Reports">Verdicts in the order sent.</param>
/// <param name="Tasks">Newly assigned, or delivered again.</param>
/// <param name="Revoked">Attempts that are no longer wanted.</param>
/// <param name="Wake">The agent sleeps and is asked to wake.</param>
/// <param name="LeaseExpiresAt">Unix milliseconds.</param>
/// <param name="LeaseMs">The whole lease.</param>
public sealed record ExchangeOutcome(
    ReportVerdict[] Reports, IReadOnlyList<GrantedTask> Tasks, IReadOnlyList<Revocation> Revoked, bool Wake, long LeaseExpiresAt, long LeaseMs);

/// <summary>
/// A worker's round trip: reports in, assignments out, in one commit. Reports are applied before new work is looked for.
/// Answers null when the agent is not registered.
/// </summary>
/// <param name="Holding">What the worker says it has; assigned tasks it had been sent and does not name are sent again.</param>
/// <param name="Max">At most so many tasks are given, 0..1000.</param>
/// <param name="Resumed">True when this is the rest of an exchange that waited: it only collects what is new.</param>
public sealed record ExchangeWork(
    string Id, IReadOnlyList<TaskReport> Reports, IReadOnlyList<HeldAttempt> Holding, AgentStatus? Status, int Max, bool Resumed = false)
    : Command<ExchangeOutcome?>
{
    public override ExchangeOutcome? Decide(State state, Decision decision)
    {
        if (state.Agents.Find(Id) is not { } agent)
            return null;

        Presence.SignOfLife(state, decision, agent, Status);
        var verdicts = Reports.Count == 0 ? [] : new ReportVerdict[Reports.Count];
        for (var i = 0; i < verdicts.Length; i++)
            verdicts[i] = Reporting.Take(state, decision, state.Tasks.Find(Reports[i].Task), Reports[i], Id, byAdmin: false);
        return new ExchangeOutcome(verdicts, [], [], false, 0, 0);
    }

    public override ExchangeOutcome? Conclude(State state, Decision decision, ExchangeOutcome? outcome)
    {
        if (outcome is null || state.Agents.Find(Id) is not { } agent)
            return null;

        var tasks = new List<GrantedTask>();
        var confirmed = Confirmed(state, agent);
        if (!Resumed)
            DeliverAgain(agent, confirmed, tasks);
        while (tasks.Count < Max && agent.Undelivered.TryDequeue(out var entry))
        {
            if (entry.Holder != agent || entry.Delivered || entry.Task.Status != TaskState.Assigned)
                continue;
            entry.Delivered = true;
            tasks.Add(new GrantedTask(entry.Task, entry.Spec));
        }

        return outcome with { Tasks = tasks, Revoked = Revoked(state, agent), Wake = agent.IsWaking, LeaseExpiresAt = state.Now + agent.LeaseMs, LeaseMs = agent.LeaseMs };
    }

    // What it says it has it was sent, also by a broker that has been restarted since and does not know: it is not sent again.
    private HashSet<TaskEntry>? Confirmed(State state, AgentEntry agent)
    {
        HashSet<TaskEntry>? confirmed = null;
        foreach (var held in Holding)
        {
            if (state.Tasks.Find(held.Task) is { } entry && entry.Task.IsHeldBy(Id, held.Attempt))
            {
                entry.Delivered = true;
                (confirmed ??= []).Add(entry);
            }
        }

        return confirmed;
    }

    private void DeliverAgain(AgentEntry agent, HashSet<TaskEntry>? confirmed, List<GrantedTask> tasks)
    {
        foreach (var entry in agent.Held)
        {
            if (tasks.Count >= Max)
                return;
            if (entry.Delivered && entry.Task.Status == TaskState.Assigned && !(confirmed?.Contains(entry) ?? false))
                tasks.Add(new GrantedTask(entry.Task, entry.Spec));
        }
    }

    private List<Revocation> Revoked(State state, AgentEntry agent)
    {
        var revoked = new List<Revocation>(agent.Revocations);
        agent.Revocations.Clear();
        // An answer that told of it may have been lost, so what the worker believes is compared with each exchange; when the same
        // exchange goes on after waiting, what it said it holds may be out of date.
        foreach (var held in Resumed ? [] : Holding)
        {
            var task = state.Tasks.Find(held.Task)?.Task;
            if (task is not null && task.IsHeldBy(Id, held.Attempt))
                continue;
            var reported = Reports.Any(report => report.Task == held.Task);
            if (!reported && !revoked.Exists(known => known.Task == held.Task))
                revoked.Add(new Revocation(held.Task, held.Attempt ?? task?.Attempt ?? 0, "not_held"));
        }

        return revoked;
    }
}

/// <param name="Attempt">Null when the worker did not say.</param>
public readonly record struct HeldAttempt(TaskId Task, int? Attempt);
