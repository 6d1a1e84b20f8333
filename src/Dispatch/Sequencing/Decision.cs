using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Questions;
using Dispatch.Tasks;

namespace Dispatch.Sequencing;

/// <summary>What a command decides with: time, ids and randomness from outside, and the way to raise events.</summary>
public sealed class Decision
{
    private readonly State state;

    internal Decision(State state, IdSource ids, Random random)
    {
        this.state = state;
        Ids = ids;
        Random = random;
    }

    public IdSource Ids { get; }

    public Random Random { get; }

    public long Now => state.Now;

    /// <summary>Who stands in the events: an agent id, <c>admin</c> or <c>system</c>.</summary>
    public string Actor { get; internal set; } = "system";

    /// <summary>Sequence of the event that the next ones follow from, or 0.</summary>
    internal long Cause { get; set; }

    internal List<DispatchEvent> Events { get; private set; } = [];

    /// <summary>Tasks that ended and whose dependants have not been looked at.</summary>
    internal Queue<TaskEntry> Ended { get; } = [];

    /// <summary>Questions that were settled and not followed.</summary>
    internal Queue<Question> Settled { get; } = [];

    /// <summary>Agents that a waiting exchange should answer for: new work, a revoked attempt, a wake request.</summary>
    internal HashSet<string> Called { get; private set; } = new(StringComparer.Ordinal);

    /// <summary>Applies the event to the state at once and adds it to the batch: the next command in the batch sees it.</summary>
    public DispatchEvent Raise(WorkTask task, TaskEvent data)
    {
        // What a task spends is told by its own events, in the one place that all of them pass.
        if (task.Charge is not null)
            data = state.Allowances.Charging.Settle(this, task, data);
        var happened = Raise(task.Id.ToString(), task.Session, task.LastSequence, data);
        if (task.Charge is not null)
            state.Allowances.Alerts.Tell(this);
        return happened;
    }

    public DispatchEvent Raise(Agent agent, AgentEvent data) => Raise(agent.Id, null, agent.LastSequence, data);

    internal DispatchEvent Raise(string subject, string? session, long previous, EventData data)
    {
        var happened = new DispatchEvent(state.Sequence + 1, state.Now, subject, session, Actor, Cause, previous, data);
        state.Apply(happened);
        Events.Add(happened);
        return happened;
    }

    internal (List<DispatchEvent> Events, HashSet<string> Called) Take()
    {
        var taken = (Events, Called);
        Events = [];

        // Never the same set again, not even an empty one: the closed batch adds to it, and its watchers walk it while the next is decided.
        Called = new HashSet<string>(StringComparer.Ordinal);
        return taken;
    }
}
