using Dispatch.Agents;
using Dispatch.Matching;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Invariants;

/// <summary>
/// Holds what a live state derives (queues, timers, who holds what, who waits for what) against the records it is derived from, counted
/// again in the plainest way. For simulations and tests: it looks at everything.
/// </summary>
internal sealed class StateConsistency
{
    private readonly State state;
    private readonly List<string> faults = [];

    private StateConsistency(State state) => this.state = state;

    /// <summary>What does not fit; empty when all does. May be called between any two commands.</summary>
    public static IReadOnlyList<string> Check(State state)
    {
        var check = new StateConsistency(state);
        check.CheckTotals();
        foreach (var entry in state.Tasks.All)
            check.CheckTask(entry);
        foreach (var agent in state.Agents.All)
            check.CheckAgent(agent);
        foreach (var session in state.Sessions.All)
            check.Demand(state.Sessions.DueOf(session.Id) == session.ExpiresAt, $"session {session.Id} ends at {session.ExpiresAt} and is timed at {state.Sessions.DueOf(session.Id)}");
        check.CheckLines();
        check.CheckNothingIsLeftWaiting();
        return check.faults;
    }

    private void CheckTotals()
    {
        var counts = new long[9];
        long specs = 0;
        foreach (var entry in state.Tasks.All)
        {
            counts[(int)entry.Task.Status]++;
            specs += entry.Spec?.Size ?? 0;
        }

        for (var status = TaskState.Scheduled; status < TaskState.Completed; status++)
            Demand(counts[(int)status] == state.Tasks.Totals[(int)status], $"the total of {status} is {state.Tasks.Totals[(int)status]}, there are {counts[(int)status]}");
        Demand(specs == state.Tasks.SpecBytes, $"specs are said to take {state.Tasks.SpecBytes} bytes, they take {specs}");
    }

    private void CheckTask(TaskEntry entry)
    {
        var task = entry.Task;
        var run = entry.RunTimer is { IsArmed: true };
        var wall = entry.WallTimer is { IsArmed: true };
        Demand(state.Tasks.Find(task.Id) == entry, $"task {task.Id} is not found by its id");
        Demand(task.IsHeld == (entry.Holder is not null), $"task {task.Id} is {task.Status} and its holder is {entry.Holder?.Agent.Id ?? "nobody"}");
        if (entry.Holder is { } holder)
        {
            Demand(holder.Agent.Id == task.Assignee, $"task {task.Id} is assigned to {task.Assignee} and counted with {holder.Agent.Id}");
            Demand(entry.HeldIndex < holder.Held.Count && holder.Held[entry.HeldIndex] == entry, $"task {task.Id} is not where {holder.Agent.Id} holds it");
            Demand(run && entry.RunTimer!.Due <= state.Elapsed + task.LongestRunMs, $"task {task.Id} runs without an end");
        }

        if (task.Status == TaskState.Pending)
        {
            var places = (entry.Line is null ? 0 : 1) + (run ? 1 : 0) + (entry.Waking is null ? 0 : 1);
            Demand(places == 1, $"pending task {task.Id} is in {places} places (line, backoff, waking)");
        }
        else
        {
            Demand(entry.Line is null && entry.Waking is null, $"task {task.Id} is {task.Status} and waits");
            Demand(task.IsHeld || !run, $"task {task.Id} is {task.Status} and its run is timed");
        }

        if (entry.Line is { } line)
            Demand(ReferenceEquals(line.Needs, task.Needs) || line.Needs.Equals(task.Needs), $"task {task.Id} waits in a line that asks for something else");
        if (entry.Waking is { } waking)
            Demand(waking.IsWaking && waking.Reserved.Contains(entry), $"task {task.Id} waits for {waking.Agent.Id}, which does not wake for it");

        var due = Math.Min(task.Status == TaskState.Scheduled ? task.RunAt : long.MaxValue, task is { IsFinal: false, Deadline: > 0 } ? task.Deadline : long.MaxValue);
        Demand(due == long.MaxValue ? !wall : wall && entry.WallTimer!.Due == due, $"task {task.Id} ({task.Status}) is due at {due} and timed at {entry.WallTimer?.Due}");
        CheckDependencies(entry, task);
    }

    private void CheckDependencies(TaskEntry entry, WorkTask task)
    {
        if (task.Status is not (TaskState.Blocked or TaskState.Scheduled))
            return;

        var unmet = state.Questions.ConfirmationOf(task.Id.ToString()) is null ? 0 : 1;
        foreach (var dependency in task.DependsOn)
        {
            if (state.Tasks.Find(dependency) is not { Task.IsFinal: false } awaited || awaited.Task.Number > task.Number)
                continue;
            unmet++;
            Demand(awaited.Dependants?.Contains(entry) ?? false, $"task {task.Id} waits for {dependency}, which does not know");
        }

        Demand(unmet == entry.Unmet, $"task {task.Id} waits for {unmet} tasks and counts {entry.Unmet}");
        Demand(task.Status != TaskState.Blocked || unmet > 0, $"task {task.Id} is blocked by nothing");
    }

    private void CheckAgent(AgentEntry agent)
    {
        var id = agent.Agent.Id;
        Demand(agent.Held.TrueForAll(task => task.Holder == agent), $"agent {id} counts a task that it does not hold");
        Demand(agent.Reserved.TrueForAll(task => task.Waking == agent), $"a task kept for agent {id} does not wait for it");
        Demand(agent.Reserved.Count == 0 || agent.IsWaking, $"agent {id} is not asked to wake for what is kept for it");
        Demand(agent.IsWaking == agent.WakeTimer.IsArmed, $"agent {id}: waking {agent.IsWaking}, timed {agent.WakeTimer.IsArmed}");
        Demand(agent.Lease.IsArmed, $"agent {id} has no lease");
        Demand(agent.Agent.Status != AgentStatus.Offline || agent.Held.Count == 0, $"agent {id} is offline and holds {agent.Held.Count} tasks");
        Demand(agent.Held.TrueForAll(task => task.Delivered || task.Task.Status != TaskState.Assigned || agent.Undelivered.Contains(task)), $"agent {id} will not be told of a task it holds");

        var free = Matcher.WhyNot(agent) == WaitReason.None;
        Demand(free == (agent.Tier >= 0), $"agent {id} is {(free ? "" : "not ")}free and stands in tier {agent.Tier}");
        for (var tier = 0; tier < Matcher.Availability.Length; tier++)
        {
            var level = LoadLevels.LevelOf(Math.Min(agent.Active, agent.Agent.MaxConcurrent - 1), agent.Agent.MaxConcurrent);
            var stands = state.Matcher.FreeAgents(tier).At(level)?.Contains(agent.Slot) ?? false;
            Demand(stands == (free && tier == agent.Tier), $"agent {id} {(stands ? "stands" : "does not stand")} in tier {tier} at level {level}");
        }
    }

    private void CheckLines()
    {
        var waiting = state.Tasks.All.Where(entry => entry.Line is not null).GroupBy(entry => entry.Line!).ToDictionary(group => group.Key, group => group.Count());
        Demand(waiting.Values.Sum() == state.Matcher.Waiting, $"{state.Matcher.Waiting} tasks are said to wait, {waiting.Values.Sum()} do");
        foreach (var line in state.Matcher.Lines)
        {
            Demand(waiting.GetValueOrDefault(line) == line.Count, $"line {line.Id} counts {line.Count} tasks and has {waiting.GetValueOrDefault(line)}");
            if (line.Listed)
                continue;
            var head = line.Peek(state.Options.AgingMs);
            Demand(line.ParkedOn is null || (head is not null && line.Column is null && line.ParkedOn.Waiters.Parked.Contains(line)), $"line {line.Id} is parked and not where it is parked");
            Demand((head is null || line.ParkedOn is not null) == (line.Column is null), $"line {line.Id} with {line.Count} tasks {(line.Column is null ? "is not" : "is")} in the backlog");
            if (head is not null && line.Column is { } column)
            {
                var urgent = state.Tasks.All.Where(entry => entry.Line == line).Min(entry => (entry.QueueKey(state.Options.AgingMs), entry.Task.Number));
                Demand(urgent == line.Place && column.Backlog.Contains(line), $"line {line.Id} stands at {line.Place}, its most urgent task at {urgent}");
            }
        }
    }

    /// <summary>No task waits that an agent could be given: assignment never needs a tick.</summary>
    private void CheckNothingIsLeftWaiting()
    {
        // What is overdue may be the end of a window or of a cool-down: what waits for it is looked at when its turn comes.
        if (state.Matcher.HasWork || state.WallDue.NextDue <= state.Now)
            return;

        foreach (var line in state.Matcher.Lines.Where(line => line.Count > 0))
        {
            var able = state.Agents.All.FirstOrDefault(agent => Matcher.WhyNot(agent) is WaitReason.None or WaitReason.Allowance
                && agent.Active < agent.Agent.MaxConcurrent && Matcher.CanDo(state, line.Needs, agent)
                && state.Allowances.Charging.Refuses(agent, line.Peek(state.Options.AgingMs)!.Task) is null);
            Demand(able is null, $"{line.Count} tasks wait in line {line.Id} while agent {able?.Agent.Id} is free and can do them");
        }
    }

    private void Demand(bool holds, string otherwise)
    {
        if (!holds)
            faults.Add(otherwise);
    }
}
