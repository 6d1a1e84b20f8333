using Dispatch.Agents;

namespace Dispatch.Invariants;

/// <summary>What the log says about an agent so far.</summary>
internal sealed class AgentTrack
{
    public AgentStatus Status { get; set; }

    public bool Drained { get; set; }

    public int MaxConcurrent { get; set; }

    public string? Owner { get; set; }

    public HashSet<string> Capabilities { get; set; } = [];

    /// <summary>Tasks it holds.</summary>
    public int Held { get; set; }

    /// <summary>Null when it is not known: no table tells it, and the events that would are no longer kept.</summary>
    public bool? IsWaking { get; set; }

    public long LastSequence { get; set; }
}

/// <summary>The rules for the events of agents.</summary>
internal sealed class AgentRules(LogChecker log)
{
    private readonly Dictionary<string, AgentTrack> agents = new(StringComparer.Ordinal);

    public AgentTrack? Find(string id) => agents.GetValueOrDefault(id);

    public void Begin(Agent agent) => agents[agent.Id] = new AgentTrack
    {
        Status = agent.Status,
        Drained = agent.Drained,
        MaxConcurrent = agent.MaxConcurrent,
        Owner = agent.Owner,
        Capabilities = agent.Capabilities.Select(Fold).ToHashSet(StringComparer.Ordinal),
        IsWaking = null,
        LastSequence = agent.LastSequence,
    };

    public void Check(AgentEvent data)
    {
        var happened = log.Current;
        var known = agents.GetValueOrDefault(happened.Subject);
        log.CheckChain(known?.LastSequence ?? 0);
        if (data is AgentRegistered registered)
        {
            var agent = known ?? (agents[happened.Subject] = new AgentTrack());
            if (registered.Status == AgentStatus.Offline)
                log.Find("I-13", "an agent can't register as offline");
            if (registered.MaxConcurrent < 1)
                log.Find("I-13", $"max_concurrent is {registered.MaxConcurrent}");
            (agent.Status, agent.MaxConcurrent, agent.Owner, agent.IsWaking) = (registered.Status, registered.MaxConcurrent, registered.Owner, false);
            agent.Capabilities = registered.Capabilities.Select(Fold).ToHashSet(StringComparer.Ordinal);
            agent.LastSequence = happened.Sequence;
            return;
        }

        if (known is null)
        {
            log.Find("I-13", "the agent is not registered");
            return;
        }

        known.LastSequence = happened.Sequence;
        switch (data)
        {
            case AgentStatusChanged changed:
                Demand(changed.From == known.Status, $"it was {known.Status}, not {changed.From}");
                Demand(changed.To != changed.From, "nothing changed");
                Demand(changed.To != AgentStatus.Offline, "offline has an event of its own");
                known.Status = changed.To;
                break;
            case AgentOffline:
                Demand(known.Status != AgentStatus.Offline, "it was offline already");
                (known.Status, known.IsWaking) = (AgentStatus.Offline, false);
                break;
            case AgentDeregistered:
                Demand(known.Held == 0, $"it still holds {known.Held} tasks");
                agents.Remove(happened.Subject);
                break;
            case AgentDrained:
                Demand(!known.Drained, "it was drained already");
                (known.Drained, known.IsWaking) = (true, false);
                break;
            case AgentResumed:
                Demand(known.Drained, "it was not drained");
                known.Drained = false;
                break;
            case AgentWakeRequested:
                Demand(known is { Status: AgentStatus.Sleeping, Drained: false }, $"it is {known.Status}{(known.Drained ? ", drained" : "")}");
                known.IsWaking = true;
                break;
            case AgentWoken:
                Demand(known.IsWaking != false, "it was not asked to wake");
                Demand(known.Status is AgentStatus.Ready or AgentStatus.Busy, $"it is {known.Status}");
                known.IsWaking = false;
                break;
            case AgentWakeFailed:
                Demand(known.IsWaking != false, "it was not asked to wake");
                Demand(known.Status is not (AgentStatus.Ready or AgentStatus.Busy), $"it is {known.Status}");
                known.IsWaking = false;
                break;
        }
    }

    // Own words for the comparison of capabilities: not those of the matcher that is being checked.
    public static string Fold(string capability) => capability.Trim().ToLowerInvariant();

    private void Demand(bool holds, string otherwise)
    {
        if (!holds)
            log.Find("I-13", otherwise);
    }
}
