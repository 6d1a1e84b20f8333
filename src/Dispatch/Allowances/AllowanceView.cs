using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Allowances;

[JsonConverter(typeof(SnakeCaseEnumConverter<AllowanceState>))]
public enum AllowanceState : byte
{
    Ok,

    /// <summary>The soft limit is reached.</summary>
    Warning,

    /// <summary>Nothing is left.</summary>
    Exceeded,
}

/// <summary>How a limit stands for one target. Times are Unix milliseconds.</summary>
/// <param name="Key">The limit's id; behind a slash the target, when the limit is for each.</param>
/// <param name="Used">In the window.</param>
/// <param name="Remaining">Amount less used and reserved, never below 0.</param>
/// <param name="Overshoot">Used beyond the amount.</param>
/// <param name="WindowStart">Of a calendar window; null for others.</param>
/// <param name="ResetsAt">When used becomes less by itself; null: never, or nothing is used of a rolling window.</param>
/// <param name="ExhaustedAt">When it is used up if spending goes on as in this window; null when that is not before the reset.</param>
/// <param name="CooldownUntil">No new work before; null: none.</param>
public sealed record LimitStanding(
    Limit Limit, string Key, string Target, AllowanceState State, long Used, long Reserved, long Remaining, long Overshoot, long? WindowStart, long? ResetsAt,
    long? ExhaustedAt, long? CooldownUntil)
{
    internal static LimitStanding Of(State state, BalanceEntry entry)
    {
        var limit = entry.Limit!;
        var now = state.Now;
        var used = entry.UsedAt(now);
        var remaining = limit.IsConsumed || limit.Unit == LimitUnit.ConcurrentJobs ? Math.Max(0, entry.RoomAt(now)) : limit.Amount;
        long? start = null, resets = null;
        if (limit.Window.IsCalendar && limit.IsConsumed)
        {
            var window = now < entry.Balance.WindowEnd ? (entry.Balance.WindowStart, entry.Balance.WindowEnd) : limit.Window.Around(now);
            (start, resets) = window;
        }
        else
        {
            resets = state.Allowances.Alerts.ResetOf(entry);
        }

        var standing = limit.IsConsumed && remaining == 0 ? AllowanceState.Exceeded
            : limit.IsConsumed && used > 0 && used >= limit.SoftAmount ? AllowanceState.Warning
            : AllowanceState.Ok;
        return new LimitStanding(
            limit, entry.Key, entry.Target, standing, used, entry.Balance.Reserved, remaining, limit.IsConsumed ? Math.Max(0, used - limit.Amount) : 0, start, resets,
            state.Allowances.Alerts.ExhaustionOf(entry, used, resets), entry.Balance.CooldownUntil > now ? entry.Balance.CooldownUntil : null);
    }
}

/// <summary>What an agent may spend: every limit that counts for it, its own first.</summary>
public sealed record AgentAllowance(string Agent, string? Owner, string? Team, bool IsRegistered, IReadOnlyList<LimitStanding> Limits);

/// <summary>Reads what an agent may spend. Changes nothing.</summary>
public sealed record ReadAllowance(string Agent) : Command<AgentAllowance>
{
    public override AgentAllowance Decide(State state, Decision decision)
    {
        var owner = state.Agents.Find(Agent)?.Agent.Owner;
        return new AgentAllowance(
            Agent, owner, owner is null ? null : state.Options.Allowances.TeamOf.GetValueOrDefault(owner), state.Agents.Find(Agent) is not null,
            [.. state.Allowances.PathOf(Agent).Select(entry => LimitStanding.Of(state, entry))]);
    }
}

/// <summary>Reads limits, in the order of their ids, with how each stands for those something was booked for. Changes nothing.</summary>
/// <param name="After">Behind this id; null: from the first.</param>
/// <param name="Level">Only of this level; null: all.</param>
/// <param name="Target">Only of this target; null: all.</param>
/// <param name="Unit">Only of this unit; null: all.</param>
public sealed record ListLimits(string? After, int Most, LimitLevel? Level = null, string? Target = null, LimitUnit? Unit = null) : Command<IReadOnlyList<Limit>>
{
    public override IReadOnlyList<Limit> Decide(State state, Decision decision) =>
    [
        .. state.Allowances.Limits
            .Where(limit => (After is null || string.CompareOrdinal(limit.Id, After) > 0) && (Level is null || limit.Level == Level)
                && (Target is null || limit.Target == Target) && (Unit is null || limit.Unit == Unit))
            .Take(Most),
    ];
}

/// <summary>Reads one limit and how it stands, the most used targets first. Changes nothing; null: there is none.</summary>
public sealed record ReadLimit(string Id, int Most) : Command<(Limit Limit, IReadOnlyList<LimitStanding> Standings)?>
{
    public override (Limit Limit, IReadOnlyList<LimitStanding> Standings)? Decide(State state, Decision decision) =>
        state.Allowances.Find(Id) is not { } limit ? null : (limit, state.Allowances.StandingsOf(limit).OrderByDescending(standing => standing.Used).ThenBy(standing => standing.Key, StringComparer.Ordinal).Take(Most).ToList());
}

/// <summary>Reads the balances that are used most, by their share of the amount. Changes nothing.</summary>
public sealed record ReadTopSpenders(int Most, LimitUnit? Unit) : Command<IReadOnlyList<LimitStanding>>
{
    public override IReadOnlyList<LimitStanding> Decide(State state, Decision decision) => state.Allowances.TopSpenders(Most, Unit);
}

/// <summary>Why a limit refuses.</summary>
/// <param name="Needed">How much room is needed, in the limit's unit.</param>
/// <param name="FreesAt">When there may be room again by itself, Unix milliseconds; null: only when a limit changes or work ends.</param>
public sealed record AllowanceRefusal(LimitStanding Standing, long Needed, long? FreesAt, string Message)
{
    internal static AllowanceRefusal Of(State state, Refused refused, TaskCost? cost)
    {
        var standing = LimitStanding.Of(state, refused.Entry);
        var limit = standing.Limit;
        var model = cost?.Model ?? state.Options.Allowances.DefaultModel;
        var whose = limit.Level switch
        {
            LimitLevel.Swarm => "the swarm",
            LimitLevel.Task => $"task {limit.Target} and those below it",
            _ => $"{limit.Level.ToString().ToLowerInvariant()} {standing.Target}",
        };
        var unit = AllowanceWords.Of(limit.Unit);
        var frees = refused.Kind is RefusalKind.Model or RefusalKind.Price ? null : refused.Kind == RefusalKind.Cooldown ? standing.CooldownUntil : standing.ResetsAt;
        var message = refused.Kind switch
        {
            RefusalKind.Model => $"Limit '{limit.Id}' of {whose} does not allow model '{model}'.",
            RefusalKind.Price when model is null => $"Limit '{limit.Id}' of {whose} counts money, and the task names no model and no money: give estimate.model or estimate.money, or set allowances.default_model.",
            RefusalKind.Price => $"Limit '{limit.Id}' of {whose} counts money, and the price of model '{model}' is missing: add it under allowances.prices in dispatch.yaml.",
            RefusalKind.Cooldown => $"Limit '{limit.Id}' of {whose}: a cool-down after a failure until {AllowanceWords.Time(standing.CooldownUntil!.Value)}.",
            _ => $"Limit '{limit.Id}' of {whose} has {Amount(standing.Remaining)} of {Amount(limit.Amount)} {unit} left ({Amount(standing.Used)} used, {Amount(standing.Reserved)} reserved) and {Amount(refused.Need)} is needed"
                + (standing.Reserved, frees) switch
                {
                    ( > 0, { } at) => $"; it frees as work in hand ends, and at {AllowanceWords.Time(at)}.",
                    ( > 0, null) => "; it frees as work in hand ends.",
                    (_, { } at) => $"; it frees at {AllowanceWords.Time(at)}.",
                    _ => "; it does not free by itself.",
                },
        };
        return new AllowanceRefusal(standing, refused.Need, frees, message);

        string Amount(long amount) => AllowanceWords.Of(amount, limit.Unit);
    }
}

/// <summary>Whether an agent could be given such a task now.</summary>
/// <param name="Refusal">The limit that binds; null: none does.</param>
/// <param name="Limits">Every limit that counts for such a task.</param>
public sealed record AllowanceAnswer(bool Allowed, AllowanceRefusal? Refusal, IReadOnlyList<LimitStanding> Limits);

/// <summary>Asks whether an agent could be given such a task now, as an assignment would. Reserves and changes nothing.</summary>
public sealed record CheckAllowance(string Agent, TaskCost? Cost) : Command<AllowanceAnswer>
{
    public override AllowanceAnswer Decide(State state, Decision decision)
    {
        var path = state.Allowances.PathOf(Agent);
        var refused = state.Allowances.Charging.Refuses(path, Agent, Cost, kind: null);
        var model = Cost?.Model ?? state.Options.Allowances.DefaultModel;
        return new AllowanceAnswer(
            refused is null, refused is { } why ? AllowanceRefusal.Of(state, why, Cost) : null,
            [.. path.Where(entry => entry.Limit!.CountsFor(model, Cost?.Repo)).Select(entry => LimitStanding.Of(state, entry))]);
    }
}

/// <summary>Words for people.</summary>
public static class AllowanceWords
{
    public static string Of(LimitUnit unit) => JsonNamingPolicy.SnakeCaseLower.ConvertName(unit.ToString()).Replace('_', ' ');

    /// <summary>An amount; money as people write it, with all its digits but trailing zeros.</summary>
    public static string Of(long amount, LimitUnit unit) => unit == LimitUnit.Money
        ? (amount / 1_000_000m).ToString("0.00####", CultureInfo.InvariantCulture)
        : amount.ToString(CultureInfo.InvariantCulture);

    internal static string Time(long ms) => DateTimeOffset.FromUnixTimeMilliseconds(ms).UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ");
}
