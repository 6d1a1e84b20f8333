using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Matching;

/// <summary>
/// Brings waiting tasks and free agents together. All of it is derived from the tasks and agents, so it is never stored: it is
/// told of each move and does work only for what moved.
/// </summary>
/// <remarks>
/// Every waiting line stands in the backlog under its rarest required capability, ordered by its most urgent task. A freed agent
/// looks at the lines under its own capabilities only; a new task looks for the best free agent only. A line that nobody can do
/// stands under a capability that nobody has and is never looked at.
/// </remarks>
public sealed class Matcher
{
    // Lines without tasks are kept for the next one that asks for the same, up to this many.
    private const int IdleLines = 4096;

    private const int Tiers = 3;

    internal static readonly double[] Availability = [1.0, 0.8, 0.5];

    private readonly State state;
    private readonly Dictionary<(Requirement Needs, string? Avoid, TaskCost? Cost), WaitingLine> lines = [];

    // Lines that differ only in what their tasks cost have the same candidates.
    private readonly Dictionary<(Requirement Needs, string? Avoid), Candidates> candidates = [];
    private readonly Queue<WaitingLine> idle = [];
    private readonly Dictionary<string, CapabilityColumn> columns = new(StringComparer.Ordinal);
    private readonly CapabilityColumn anyone = new(null);
    private readonly LoadLevels[] tiers = [new(), new(), new()];
    private readonly List<AgentEntry?> slots = [];
    private readonly Stack<int> freeSlots = [];

    private readonly List<WaitingLine> touchedLines = [];
    private readonly PriorityQueue<WaitingLine, (long Key, long Number, int Id)> byUrgency = new();
    private readonly List<TaskEntry> arrivals = [];
    private readonly List<AgentEntry> freed = [];
    private long version = 1;
    private long candidatesAsOf;
    private int nextLine;
    private int cursor;

    internal Matcher(State state) => this.state = state;

    /// <summary>Tasks that could be given out now.</summary>
    public long Waiting { get; private set; }

    /// <summary>Lines, agents and levels of load looked at so far: what assignments cost, in a measure that no machine's speed changes.</summary>
    internal long Looks { get; private set; }

    /// <summary>Every line, those without tasks too.</summary>
    internal IReadOnlyCollection<WaitingLine> Lines => lines.Values;

    /// <summary>Capabilities that an agent has or a waiting line is filed under.</summary>
    internal int KnownCapabilities => columns.Count;

    /// <summary>The agents of a tier (ready, sleeping, busy) that have a free place.</summary>
    internal LoadLevels FreeAgents(int tier) => tiers[tier];

    private long AgingMs => state.Options.AgingMs;

    // ---- told of moves -------------------------------------------------------------------------------------------------

    internal int TakeSlot() => freeSlots.TryPop(out var slot) ? slot : slots.Count;

    internal void Joined(AgentEntry agent)
    {
        while (slots.Count <= agent.Slot)
            slots.Add(null);
        slots[agent.Slot] = agent;
        anyone.Agents.Add(agent.Slot);
        foreach (var capability in agent.FoldedCapabilities)
            Column(capability).Agents.Add(agent.Slot);
        version++;
        Refresh(agent);
    }

    /// <param name="keepSlot">True when the same agent joins again at once, with other abilities.</param>
    internal void Left(AgentEntry agent, bool keepSlot)
    {
        AllowanceQueue.Forget(agent);
        RemoveFromLevels(agent);
        anyone.Agents.Remove(agent.Slot);
        foreach (var capability in agent.FoldedCapabilities)
        {
            var column = Column(capability);
            column.Agents.Remove(agent.Slot);
            DropIfUnused(column);
        }

        if (!keepSlot)
        {
            slots[agent.Slot] = null;
            freeSlots.Push(agent.Slot);
        }

        version++;
    }

    /// <summary>The agent's status, load or limit may have changed: puts it where it belongs now.</summary>
    internal void Refresh(AgentEntry agent)
    {
        var record = agent.Agent;
        var tier = record.Drained || agent.Disconnected || agent.OutOf is not null || agent.Active >= record.MaxConcurrent ? -1 : record.Status switch
        {
            AgentStatus.Ready => 0,
            AgentStatus.Sleeping when !agent.Unwakeable => 1,
            AgentStatus.Busy => 2,
            _ => -1,
        };
        var level = tier < 0 ? 0 : LoadLevels.LevelOf(agent.Active, record.MaxConcurrent);
        if (tier == agent.Tier && level == agent.Level)
            return;

        var moreFree = tier >= 0 && (agent.Tier < 0 || level < agent.Level || tier != agent.Tier);
        RemoveFromLevels(agent);
        if (tier < 0)
            return;

        (agent.Tier, agent.Level) = (tier, level);
        tiers[tier].Add(agent.Slot, level);
        if (moreFree)
            freed.Add(agent);
    }

    /// <summary>Who may have which task, or which is the most urgent, follows from other settings: everything that waits is looked at again.</summary>
    internal void SettingsChanged()
    {
        version++;
        foreach (var line in lines.Values)
        {
            line.Reorder(AgingMs);
            Touch(line);
        }
    }

    /// <param name="arrived">True when the task has not been told why it waits: new, or back after an attempt.</param>
    internal void Enqueue(TaskEntry entry, bool arrived)
    {
        var line = LineOf(entry);
        line.Add(entry, AgingMs);
        Waiting++;
        if (arrived)
            arrivals.Add(entry);
        Touch(line);
    }

    internal void Dequeue(TaskEntry entry)
    {
        if (entry.Line is not { } line)
            return;
        line.Remove(entry);
        Waiting--;
        Touch(line);
    }

    // ---- the work of a batch -------------------------------------------------------------------------------------------

    /// <summary>Gives out what can be given out, at most <paramref name="limit"/> tasks; true when it stopped at the limit.</summary>
    internal bool Run(Decision decision, int limit)
    {
        var given = 0;
        Reopen();
        do
        {
            if (GiveOut(decision, limit, ref given))
                return true;
        }
        while (Reopen());

        foreach (var line in touchedLines)
        {
            line.Listed = false;
            if (line.Count == 0)
                Retire(line);
        }

        touchedLines.Clear();
        TellUnmatched(decision);
        return false;
    }

    /// <summary>True when it stopped at the limit.</summary>
    private bool GiveOut(Decision decision, int limit, ref int given)
    {
        // Every touched line takes its place in the backlog first, so that a freed agent sees the most urgent task there is.
        foreach (var line in touchedLines)
            Place(line);

        for (var i = 0; i < freed.Count; i++)
        {
            var agent = freed[i];
            while (agent.Tier >= 0 && slots[agent.Slot] == agent && MostUrgentLineFor(agent, decision) is { } line)
            {
                if (given >= limit)
                {
                    freed.RemoveRange(0, i);
                    return true;
                }

                if (!TryGive(line, decision))
                    break;
                given++;
            }
        }

        freed.Clear();

        // What is left can only go to agents that were free all along and that no older line could use. After each task given out the
        // line steps back behind those that are more urgent now.
        byUrgency.Clear();
        foreach (var line in touchedLines)
        {
            if (line.Count > 0 && line.ParkedOn is null)
                byUrgency.Enqueue(line, (line.Place.Key, line.Place.Number, line.Id));
        }

        while (byUrgency.TryPeek(out var line, out _))
        {
            if (given >= limit)
                return true;
            if (!TryGive(line, decision))
            {
                byUrgency.Dequeue();
                continue;
            }

            given++;
            if (line.Count == 0 || line.ParkedOn is not null)
                byUrgency.Dequeue();
            else
                byUrgency.DequeueEnqueue(line, (line.Place.Key, line.Place.Number, line.Id));
        }

        return false;
    }

    /// <summary>True when <see cref="Run"/> has something to do.</summary>
    internal bool HasWork => touchedLines.Count > 0 || freed.Count > 0 || state.Allowances.Waiting.Opened.Count > 0;

    private bool TryGive(WaitingLine line, Decision decision)
    {
        if (line.ParkedOn is not null || line.Peek(AgingMs) is not { } entry || FindBest(line, entry, decision, out var why) is not { } agent)
            return false;

        cursor = agent.Slot + 1;
        if (agent.Agent.Status == AgentStatus.Sleeping)
            Presence.RequestWake(state, decision, agent, entry);
        else
            Assign(decision, agent, entry, why!);
        Place(line);
        return true;
    }

    /// <summary>Gives the task to the agent, with what it reserves of allowances.</summary>
    internal void Assign(Decision decision, AgentEntry agent, TaskEntry entry, MatchScore why)
    {
        var (reserved, maxRunMs) = state.Allowances.Charging.Reserve(decision, agent, entry.Task);
        decision.Raise(entry.Task, new TaskAssigned(agent.Agent.Id, entry.Task.Attempt + 1, QueuedMs(entry), why, reserved, maxRunMs == 0 ? null : maxRunMs));
    }

    /// <summary>The best free agent for the line that has allowance left: highest score, then lowest load, then next in turn.</summary>
    private AgentEntry? FindBest(WaitingLine line, TaskEntry entry, Decision decision, out MatchScore? why)
    {
        var candidates = CandidatesOf(line);
        foreach (var group in candidates.Groups)
        {
            for (var level = NextLevel(group, 0); level != int.MaxValue; level = NextLevel(group, level + 1))
            {
                Looks++;
                var best = -1;
                var match = 0.0;
                foreach (var (tier, capabilityMatch, set) in group.Parts)
                {
                    if (tiers[tier].At(level) is not { Count: > 0 } free)
                        continue;
                    var slot = set.NextInBoth(free, cursor);
                    if (slot >= 0 && (best < 0 || Turn(slot) < Turn(best)))
                        (best, match) = (slot, capabilityMatch);
                }

                if (best >= 0 && !Admits(line, entry, slots[best]!, decision))
                    (best, match) = line.ParkedOn is null ? NextAdmitted(group, level, best, line, entry, decision) : (-1, 0);
                if (best >= 0)
                {
                    var agent = slots[best]!;
                    why = Score(agent, match, entry.Task.Priority, candidates.All.Count);
                    return agent;
                }

                if (line.ParkedOn is not null)
                    break;
            }

            if (line.ParkedOn is not null)
                break;
        }

        why = null;
        return null;
    }

    /// <summary>The next in turn at this level that has allowance left, when the first was refused; slot -1 when none has.</summary>
    private (int Slot, double Match) NextAdmitted(ScoreGroup group, int level, int refused, WaitingLine line, TaskEntry entry, Decision decision)
    {
        var others = new List<(int Turn, int Slot, double Match)>();
        foreach (var (tier, match, set) in group.Parts)
        {
            if (tiers[tier].At(level) is { Count: > 0 } free)
                others.AddRange(set.AllInBoth(free).Where(slot => slot != refused).Select(slot => (Turn(slot), slot, match)));
        }

        others.Sort();
        foreach (var (_, slot, match) in others)
        {
            Looks++;
            if (Admits(line, entry, slots[slot]!, decision))
                return (slot, match);
            if (line.ParkedOn is not null)
                break;
        }

        return (-1, 0);
    }

    // ---- allowances ----------------------------------------------------------------------------------------------------

    /// <summary>Whether all limits have room for the task by this agent. One that has none is noted as what the agent, or the whole line, waits for.</summary>
    private bool Admits(WaitingLine line, TaskEntry entry, AgentEntry agent, Decision decision)
    {
        if (state.Allowances.Charging.Refuses(agent, entry.Task) is not { } refused)
            return true;

        var balance = refused.Entry;
        if (refused.Kind == RefusalKind.NoRoom)
            state.Allowances.Alerts.TellExceeded(decision, balance);
        var room = balance.RoomAt(state.Now);

        // Agents may be expected to need different amounts: what is too much for this one need not be for the next.
        if (balance.Limit!.IsForAll && (refused.Kind != RefusalKind.NoRoom || room <= 0 || refused.LeastNeed > room))
        {
            TakeFromBacklog(line);
            state.Allowances.Waiting.Park(refused, line);
            return false;
        }

        var isOut = refused.Kind == RefusalKind.NoRoom && balance.Limit is { Level: not LimitLevel.Task, Model: null, Repo: null } && room <= 0;
        state.Allowances.Waiting.Wait(refused, agent, isOut);
        if (isOut)
        {
            agent.OutOf = balance;
            Refresh(agent);
        }

        return false;
    }

    /// <summary>
    /// Lets those look again who were refused where there is room now: at a time as many as there may be room for, and each once, so that neither is
    /// room left while somebody waits, nor does everybody come for what one can have. True when somebody was let.
    /// </summary>
    private bool Reopen()
    {
        var any = false;
        var opened = state.Allowances.Waiting.Opened;
        for (var i = opened.Count - 1; i >= 0; i--)
        {
            var balance = opened[i];
            var waiters = balance.Waiters;
            waiters.BeginOpening();
            var turns = waiters.TurnsAt(state.Now);
            while (turns > 0 && waiters.TakeLine() is { } line)
            {
                turns--;
                any = true;
                Unpark(line);
                Touch(line);
            }

            while (turns > 0 && waiters.TakeAgent() is { } agent)
            {
                turns--;
                any = true;
                if (agent.OutOf == balance)
                {
                    agent.OutOf = null;
                    Refresh(agent);
                }
                else if (agent.Tier >= 0)
                {
                    freed.Add(agent);
                }
            }

            if (waiters.EndOpening(state.Now))
                opened.RemoveAt(i);
        }

        return any;
    }

    private static void Unpark(WaitingLine line)
    {
        line.ParkedOn?.Waiters.Parked.Remove(line);
        line.ParkedOn = null;
    }

    internal static MatchScore Score(AgentEntry agent, double match, byte priority, int candidates)
    {
        var availability = agent.Agent.Status switch
        {
            AgentStatus.Ready => Availability[0],
            AgentStatus.Sleeping => Availability[1],
            AgentStatus.Busy => Availability[2],
            _ => 0,
        };
        var weight = 1 + (priority * 0.05);
        return new MatchScore(match * availability * weight, match, availability, weight, agent.Active, agent.Agent.MaxConcurrent, candidates);
    }

    // After the wall clock was set back a backoff ends before its time by that clock.
    internal long QueuedMs(TaskEntry entry) => Math.Max(0, state.Now - Math.Max(entry.Task.QueuedAt, entry.Task.NextAttemptAt));

    private int Turn(int slot) => slot >= cursor ? slot - cursor : slot - cursor + slots.Count;

    private int NextLevel(ScoreGroup group, int level)
    {
        var next = int.MaxValue;
        if (level >= 1024)
            return next;
        foreach (var (tier, _, _) in group.Parts)
            next = Math.Min(next, tiers[tier].NextOccupied(level));
        return next;
    }

    private WaitingLine? MostUrgentLineFor(AgentEntry agent, Decision decision)
    {
        var best = FirstServable(anyone, agent, null, decision);
        foreach (var capability in agent.FoldedCapabilities)
            best = FirstServable(Column(capability), agent, best, decision);
        return best;
    }

    private WaitingLine? FirstServable(CapabilityColumn column, AgentEntry agent, WaitingLine? best, Decision decision)
    {
        var backlog = column.Backlog;
        while (backlog.Count > 0 && agent.Tier >= 0)
        {
            WaitingLine? parked = null;
            foreach (var line in backlog)
            {
                Looks++;
                if (best is not null && line.Place.CompareTo(best.Place) >= 0)
                    return best;
                if (!CandidatesOf(line).All.Contains(agent.Slot))
                    continue;
                if (state.Allowances.IsEmpty || line.Peek(AgingMs) is not { } head || Admits(line, head, agent, decision))
                    return line;
                if (line.ParkedOn is not null)
                    parked = line;
                if (parked is not null || agent.Tier < 0)
                    break;
            }

            // One that was parked left the backlog: from the start again.
            if (parked is null)
                break;
        }

        return best;
    }

    // ---- candidates ----------------------------------------------------------------------------------------------------

    private Candidates CandidatesOf(WaitingLine line)
    {
        if (line.Candidates is { } known && known.Version == version)
            return known;
        if (candidatesAsOf != version || candidates.Count > IdleLines)
        {
            candidates.Clear();
            candidatesAsOf = version;
        }

        if (!candidates.TryGetValue((line.Needs, line.Avoid), out known))
            candidates[(line.Needs, line.Avoid)] = known = FindCandidates(line);
        return line.Candidates = known;
    }

    private Candidates FindCandidates(WaitingLine line)
    {
        var all = AgentsWith(line.Needs);
        var byMatch = new SortedDictionary<double, SlotSet>();
        var avoided = -1;
        foreach (var slot in all.All())
        {
            Looks++;
            if (line.Avoid is not null && string.Equals(slots[slot]!.Agent.Id, line.Avoid, StringComparison.Ordinal))
            {
                avoided = slot;
                continue;
            }

            var match = CapabilityMatch(line.Needs, slots[slot]!);
            if (!byMatch.TryGetValue(match, out var set))
                byMatch[match] = set = new SlotSet();
            set.Add(slot);
        }

        var parts = byMatch
            .SelectMany(pair => Enumerable.Range(0, Tiers).Select(tier => (Score: pair.Key * Availability[tier], Part: (tier, pair.Key, pair.Value))))
            .GroupBy(x => Math.Round(x.Score, 9))
            .OrderByDescending(group => group.Key)
            .Select(group => new ScoreGroup(group.Key, group.Select(x => x.Part).ToArray()));
        if (avoided >= 0)
        {
            var alone = new SlotSet();
            alone.Add(avoided);
            var match = CapabilityMatch(line.Needs, slots[avoided]!);
            parts = parts.Concat(Enumerable.Range(0, Tiers).Select(tier => new ScoreGroup(match * Availability[tier], [(tier, match, alone)])));
        }

        return new Candidates { Version = version, All = all, Groups = parts.ToArray() };
    }

    private SlotSet AgentsWith(Requirement needs)
    {
        var all = anyone.Agents.Copy();
        foreach (var capability in needs.RequiredKeys)
        {
            if (!columns.TryGetValue(capability, out var column))
                return new SlotSet();
            all.IntersectWith(column.Agents);
        }

        if (needs.Owner is null || !state.Options.OwnerFilter)
            return all;

        foreach (var slot in all.Copy().All())
        {
            if (!string.Equals(slots[slot]!.Agent.Owner, needs.Owner, StringComparison.Ordinal))
                all.Remove(slot);
        }

        return all;
    }

    internal static double CapabilityMatch(Requirement needs, AgentEntry agent)
    {
        if (needs.PreferredKeys.Length == 0)
            return 1.0;
        var held = needs.PreferredKeys.Count(preferred => agent.FoldedCapabilities.Contains(preferred, StringComparer.Ordinal));
        return 1.0 + (0.25 * held / needs.PreferredKeys.Length);
    }

    /// <summary>Since when the task that waits longest could have been given out; null when none waits. Unix milliseconds.</summary>
    public long? OldestQueuedAt()
    {
        long? oldest = null;
        foreach (var line in lines.Values)
        {
            if (line.OldestQueuedAt() is { } at && (oldest is null || at < oldest))
                oldest = at;
        }

        return oldest;
    }

    // ---- lines and backlog ---------------------------------------------------------------------------------------------

    private WaitingLine LineOf(TaskEntry entry)
    {
        var key = (entry.Task.Needs, entry.Task.AvoidAgent, entry.Task.Cost?.Class);
        if (lines.TryGetValue(key, out var line))
            return line;

        while (idle.Count > IdleLines)
        {
            var oldest = idle.Dequeue();
            oldest.IsIdle = false;
            if (oldest.Count == 0 && !oldest.Listed)
                lines.Remove((oldest.Needs, oldest.Avoid, oldest.Cost));
        }

        return lines[key] = new WaitingLine(++nextLine, entry.Task.Needs, entry.Task.AvoidAgent, entry.Task.Cost?.Class);
    }

    private void Retire(WaitingLine line)
    {
        if (line.IsIdle)
            return;
        line.IsIdle = true;
        idle.Enqueue(line);
    }

    private void Touch(WaitingLine line)
    {
        if (line.Listed)
            return;
        line.Listed = true;
        touchedLines.Add(line);
    }

    private void Place(WaitingLine line)
    {
        if (line.Peek(AgingMs) is not { } head)
        {
            Unpark(line);
            TakeFromBacklog(line);
            return;
        }

        var place = (head.QueueKey(AgingMs), head.Task.Number);
        if (line.ParkedOn is not null)
        {
            if (place == line.Place)
                return;

            // Another task is the most urgent one now, and may need less.
            Unpark(line);
        }

        if (line.Column is not null && place == line.Place)
            return;

        TakeFromBacklog(line);
        line.Place = place;
        line.Column = RarestColumn(line.Needs);
        line.Column.Backlog.Add(line);
    }

    private void TakeFromBacklog(WaitingLine line)
    {
        if (line.Column is not { } column)
            return;
        column.Backlog.Remove(line);
        line.Column = null;
        DropIfUnused(column);
    }

    private CapabilityColumn RarestColumn(Requirement needs)
    {
        string? rarest = null;
        var fewest = 0;
        foreach (var capability in needs.RequiredKeys)
        {
            var agents = columns.TryGetValue(capability, out var column) ? column.Agents.Count : 0;
            if (rarest is null || agents < fewest)
                (rarest, fewest) = (capability, agents);
        }

        return rarest is null ? anyone : Column(rarest);
    }

    private CapabilityColumn Column(string capability)
    {
        if (!columns.TryGetValue(capability, out var column))
            columns[capability] = column = new CapabilityColumn(capability);
        return column;
    }

    // Otherwise every capability that anybody ever asked for would stay in memory.
    private void DropIfUnused(CapabilityColumn column)
    {
        if (column.Capability is { } capability && column.Agents.Count == 0 && column.Backlog.Count == 0)
            columns.Remove(capability);
    }

    private void RemoveFromLevels(AgentEntry agent)
    {
        if (agent.Tier >= 0)
            tiers[agent.Tier].Remove(agent.Slot, agent.Level);
        (agent.Tier, agent.Level) = (-1, 0);
    }

    // ---- why it waits --------------------------------------------------------------------------------------------------

    private void TellUnmatched(Decision decision)
    {
        // Those of one request mostly stand in one line, and the reason is the line's.
        WaitingLine? looked = null;
        var reason = WaitReason.None;
        foreach (var entry in arrivals)
        {
            if (entry.Line is not { } line)
                continue;
            if (line != looked)
                (looked, reason) = (line, WhyWaiting(line));
            if (reason == WaitReason.AllBusy || reason == entry.Told)
                continue;
            entry.Told = reason;
            decision.Raise(entry.Task, new TaskUnmatched(reason, Explanation.Sentence(reason, line.Needs)));
        }

        arrivals.Clear();
    }

    private WaitReason WhyWaiting(WaitingLine line)
    {
        if (state.Agents.Count == 0)
            return WaitReason.NoAgents;
        var candidates = CandidatesOf(line).All;
        if (line.ParkedOn is not null)
            return WaitReason.Allowance;
        if (candidates.Count == 0)
            return line.Needs.Owner is not null && state.Options.OwnerFilter && AnyWithout(line.Needs) ? WaitReason.OwnerFilter : WaitReason.NoCapability;

        // The reason of the candidate that is nearest to working.
        var nearest = WaitReason.Offline;
        foreach (var slot in candidates.All())
        {
            var agent = slots[slot]!;
            var why = WhyNot(agent);
            if (why is WaitReason.AllBusy or WaitReason.None)
            {
                if (state.Allowances.IsEmpty || line.Peek(AgingMs) is not { } head || state.Allowances.Charging.Refuses(agent, head.Task) is null)
                    return WaitReason.AllBusy;
                why = WaitReason.Allowance;
            }

            if (why == WaitReason.Allowance)
                nearest = why;
            else if (nearest == WaitReason.Allowance)
                continue;
            else if (why is WaitReason.Drained || (why is WaitReason.Degraded or WaitReason.WakeFailed && nearest == WaitReason.Offline))
                nearest = why;
        }

        return nearest;
    }

    private bool AnyWithout(Requirement needs) => AgentsWith(new Requirement(needs.Required, [], null)).Count > 0;

    /// <summary>Why the agent gets nothing now, capabilities and owner aside; None when it could.</summary>
    internal static WaitReason WhyNot(AgentEntry agent) => agent.Agent switch
    {
        { Drained: true } => WaitReason.Drained,
        { Status: AgentStatus.Offline } => WaitReason.Offline,
        _ when agent.Disconnected => WaitReason.Offline,
        { Status: AgentStatus.Degraded } => WaitReason.Degraded,
        { Status: AgentStatus.Sleeping } when agent.Unwakeable => WaitReason.WakeFailed,
        _ when agent.OutOf is not null => WaitReason.Allowance,
        _ => agent.Active >= agent.Agent.MaxConcurrent ? WaitReason.AllBusy : WaitReason.None,
    };

    /// <summary>True when the agent has what the task asks for, free or not.</summary>
    internal static bool CanDo(State state, Requirement needs, AgentEntry agent) =>
        needs.RequiredKeys.All(key => agent.FoldedCapabilities.Contains(key, StringComparer.Ordinal))
        && (needs.Owner is null || !state.Options.OwnerFilter || string.Equals(needs.Owner, agent.Agent.Owner, StringComparison.Ordinal));

    internal WaitReason WhyWaiting(TaskEntry entry) => entry.Line is { } line ? WhyWaiting(line) : WaitReason.None;
}
