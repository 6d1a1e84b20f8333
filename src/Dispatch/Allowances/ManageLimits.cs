using Dispatch.Sequencing;

namespace Dispatch.Allowances;

/// <summary>What became of a wish to change a limit.</summary>
public abstract record LimitOutcome
{
    /// <param name="IsNew">True when there was none of this id.</param>
    public sealed record Done(Limit Limit, bool IsNew) : LimitOutcome;

    /// <param name="Member">The member that can't be as it is.</param>
    public sealed record Refused(string Member, string Problem) : LimitOutcome;

    /// <summary>It was changed since the version that the caller knows.</summary>
    public sealed record Outdated(int Version) : LimitOutcome;

    public sealed record Missing : LimitOutcome;
}

/// <summary>Sets a limit, or changes amount, window, soft limit, model lists and what happens when it is reached of one that is there. Effective at once.</summary>
/// <param name="Wanted">Its members; version, times and sequence are not read.</param>
/// <param name="IfVersion">Only when the limit has this version (0: only when there is none); null: whatever it has.</param>
public sealed record SetLimit(Limit Wanted, int? IfVersion = null) : Command<LimitOutcome>
{
    public override LimitOutcome Decide(State state, Decision decision)
    {
        var known = state.Allowances.Find(Wanted.Id);
        if (IfVersion is { } version && version != (known?.Version ?? 0))
            return new LimitOutcome.Outdated(known?.Version ?? 0);
        if (Wanted.Level == LimitLevel.Team && !Wanted.IsEach && !state.Options.Allowances.TeamOf.Values.Contains(Wanted.Target, StringComparer.Ordinal))
            return new LimitOutcome.Refused("target", $"There is no team '{Wanted.Target}'. Teams and their owners are set in dispatch.yaml under allowances.teams.");
        if (known is not null)
        {
            if (known.Level != Wanted.Level || known.Target != Wanted.Target)
                return new LimitOutcome.Refused(known.Level != Wanted.Level ? "level" : "target", $"The limit is for {(known.Level == LimitLevel.Swarm ? "the swarm" : $"{known.Level.ToString().ToLowerInvariant()} '{known.Target}'")}. Delete it to use its id for another.");
            if (known.Unit != Wanted.Unit)
                return new LimitOutcome.Refused("unit", $"The limit counts {AllowanceWords.Of(known.Unit)}. Delete it to use its id for another.");
            if (known.Model != Wanted.Model || known.Repo != Wanted.Repo)
                return new LimitOutcome.Refused(known.Model != Wanted.Model ? "model" : "repo", "It can't be changed. Delete the limit to use its id for another.");
            if (IsSame(known))
                return new LimitOutcome.Done(known, false);
        }

        decision.Raise(Wanted.Id, null, known?.LastSequence ?? 0, new AllowanceSet(
            Wanted.Level, Wanted.Target.Length == 0 ? null : Wanted.Target, Wanted.Unit, Wanted.Amount, Wanted.Window, Wanted.Model, Wanted.Repo, Wanted.SoftPercent,
            Wanted.OnExceed, Wanted.Allow.Length == 0 ? null : Wanted.Allow, Wanted.Deny.Length == 0 ? null : Wanted.Deny));
        if (known is not null)
            state.Allowances.Alerts.TellOf(decision, Wanted.Id);
        return new LimitOutcome.Done(state.Allowances.Find(Wanted.Id)!, known is null);
    }

    private bool IsSame(Limit known) =>
        known.Amount == Wanted.Amount && known.Window == Wanted.Window && known.SoftPercent == Wanted.SoftPercent && known.OnExceed == Wanted.OnExceed
        && known.Allow.AsSpan().SequenceEqual(Wanted.Allow) && known.Deny.AsSpan().SequenceEqual(Wanted.Deny);
}

/// <summary>Deletes a limit. What waited for it is looked at again at once.</summary>
public sealed record DeleteLimit(string Id) : Command<LimitOutcome>
{
    public override LimitOutcome Decide(State state, Decision decision)
    {
        if (state.Allowances.Find(Id) is not { } limit)
            return new LimitOutcome.Missing();
        decision.Raise(Id, null, limit.LastSequence, new AllowanceDeleted());
        return new LimitOutcome.Done(limit, false);
    }
}
