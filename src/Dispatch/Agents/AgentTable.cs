using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Agents;

/// <summary>The registered agents.</summary>
public sealed class AgentTable
{
    private readonly State state;
    private readonly Dictionary<string, AgentEntry> entries = new(StringComparer.Ordinal);
    private readonly List<AgentEntry> order = [];

    private readonly List<AgentEntry> dirty = [];
    private List<string> removed = [];

    internal AgentTable(State state) => this.state = state;

    public int Count => order.Count;

    /// <summary>In order of first registration.</summary>
    public IReadOnlyList<AgentEntry> All => order;

    public AgentEntry? Find(string id) => entries.GetValueOrDefault(id);

    internal void Load(IReadOnlyList<Agent> agents)
    {
        foreach (var agent in agents)
        {
            var entry = Add(agent);
            Seen(entry);
            entry.LastSeenAt = 0;
        }
    }

    /// <summary>A sign of life: the lease of everything it holds starts anew. Not an event; a restart gives one fresh lease.</summary>
    internal void Seen(AgentEntry entry)
    {
        entry.SeenAt = state.Elapsed;
        entry.LeaseMs = state.Options.LeaseMs;
        entry.LastSeenAt = state.Now;
        if (!state.IsLive)
            return;

        // Usually the armed timer finds out by itself that it was seen since; it moves only when it would come too late.
        var due = state.Elapsed + Presence.CheckAfter(state, entry);
        if (!entry.Lease.IsArmed || entry.Lease.Due > due)
            state.Due.Arm(entry.Lease, due);
    }

    internal void Apply(DispatchEvent happened, AgentEvent data)
    {
        if (data is AgentRegistered registered)
        {
            Register(happened, registered);
            return;
        }

        if (!entries.TryGetValue(happened.Subject, out var entry))
            throw new InvalidOperationException($"Event {happened.Sequence} ({happened.Type}) is about agent '{happened.Subject}', which is not registered.");

        if (data is AgentDeregistered)
        {
            Remove(entry);
            return;
        }

        var agent = entry.Agent with { LastSequence = happened.Sequence };
        entry.Agent = data switch
        {
            AgentStatusChanged e => agent with { Status = e.To, StatusAt = happened.Timestamp },
            AgentOffline => agent with { Status = AgentStatus.Offline, StatusAt = happened.Timestamp },
            AgentDrained => agent with { Drained = true },
            AgentResumed => agent with { Drained = false },
            _ => agent,
        };
        if (data is AgentStatusChanged)
            entry.Unwakeable = false;
        Mark(entry);
        if (state.IsLive)
            state.Matcher.Refresh(entry);
    }

    internal (List<Agent> Agents, List<string> Removed) TakeChanges()
    {
        var agents = new List<Agent>(dirty.Count);
        foreach (var entry in dirty)
        {
            entry.Dirty = false;
            if (entries.TryGetValue(entry.Agent.Id, out var registered) && registered == entry)
                agents.Add(entry.Agent);
        }

        var taken = (agents, removed.Where(id => !entries.ContainsKey(id)).ToList());
        dirty.Clear();
        removed = [];
        return taken;
    }

    private void Register(DispatchEvent happened, AgentRegistered data)
    {
        var known = Find(happened.Subject);
        var agent = new Agent
        {
            Id = happened.Subject,
            Capabilities = data.Capabilities,
            Owner = data.Owner,
            Labels = data.Labels,
            MaxConcurrent = data.MaxConcurrent,
            Status = data.Status,
            WakeUrl = data.WakeUrl,
            Drained = known?.Agent.Drained ?? false,
            RegisteredAt = known?.Agent.RegisteredAt ?? happened.Timestamp,
            StatusAt = happened.Timestamp,
            LastSequence = happened.Sequence,
        };
        if (known is null)
        {
            known = Add(agent);
        }
        else
        {
            if (state.IsLive)
                state.Matcher.Left(known, keepSlot: true);
            known.Agent = agent;
            known.FoldedCapabilities = Matching.Requirement.Fold(agent.Capabilities);
            known.Unwakeable = false;
            if (state.IsLive)
                state.Matcher.Joined(known);
        }

        Mark(known);
        Seen(known);
    }

    private AgentEntry Add(Agent agent)
    {
        var entry = new AgentEntry(agent, state.IsLive ? state.Matcher.TakeSlot() : 0);
        entries.Add(agent.Id, entry);
        order.Add(entry);
        if (state.IsLive)
            state.Matcher.Joined(entry);
        return entry;
    }

    private void Remove(AgentEntry entry)
    {
        entries.Remove(entry.Agent.Id);
        order.Remove(entry);
        removed.Add(entry.Agent.Id);
        if (!state.IsLive)
            return;
        state.Matcher.Left(entry, keepSlot: false);
        state.Due.Disarm(entry.Lease);
        state.Due.Disarm(entry.WakeTimer);
    }

    private void Mark(AgentEntry entry)
    {
        if (entry.Dirty)
            return;
        entry.Dirty = true;
        dirty.Add(entry);
    }
}
