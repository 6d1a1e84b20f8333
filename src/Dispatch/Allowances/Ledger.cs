using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>What one attempt, or one usage report apart from attempts, reserved and spent on a limit.</summary>
/// <param name="Task">Null for a report that names none.</param>
/// <param name="Outcome">Null while the attempt is in hand, and for a report.</param>
/// <param name="At">When it ended, was given out or was reported, Unix milliseconds.</param>
/// <param name="Key">The limit's id; behind a slash the target, when the limit is for each.</param>
/// <param name="Reserved">What is kept for it, or was until its end, less what reports had booked.</param>
/// <param name="Spent">What it came to, with what was reported while it was in hand.</param>
public sealed record LedgerEntry(
    LedgerPlace Place, TaskId? Task, int? Attempt, string Agent, AttemptOutcome? Outcome, long At, string Key, long Reserved, long Spent);

/// <summary>Where an entry stands: by task, the last submitted first, and its last attempt first. A report stands where it came in.</summary>
/// <param name="Number">Of the task, or the report's event.</param>
/// <param name="Attempt">0 for a report.</param>
/// <param name="Item">Of an attempt that was booked for several targets of one limit, which; from 0.</param>
public readonly record struct LedgerPlace(long Number, int Attempt, int Item)
{
    /// <summary>Before all.</summary>
    public static readonly LedgerPlace Start = new(long.MaxValue, int.MaxValue, int.MaxValue);

    public bool IsBehind(LedgerPlace other) =>
        Number != other.Number ? Number < other.Number : Attempt != other.Attempt ? Attempt < other.Attempt : Item > other.Item;
}

/// <summary>Which entries to list.</summary>
/// <param name="Limit">Its id.</param>
/// <param name="Target">Of a limit that is for each, only this target; null: all.</param>
/// <param name="After">Only behind this place: the last one of the page before.</param>
public sealed record LedgerQuery(string Limit, string? Target, LedgerPlace After, int Most)
{
    private string? Exactly { get; } = Target is null ? null : $"{Limit}/{Target}";

    /// <summary>The entries that an ended attempt is.</summary>
    public IEnumerable<LedgerEntry> Of(EndedAttempt ended, TaskId task) => Entries(
        ended.TaskNumber, ended.Attempt, ended.Reserved, ended.Spent,
        (place, key, reserved, spent) => new LedgerEntry(place, task, ended.Attempt, ended.Agent, ended.Outcome, ended.EndedAt, key, reserved, spent));

    /// <summary>The entries that a task in hand is.</summary>
    public IEnumerable<LedgerEntry> Of(WorkTask held) => Entries(
        held.Number, held.Attempt, held.Charge?.Reserved, held.Charge?.Reported,
        (place, key, reserved, spent) => new LedgerEntry(place, held.Id, held.Attempt, held.Assignee!, null, held.AssignedAt, key, reserved, spent));

    /// <summary>The entries that a usage report is; none when an attempt's have it.</summary>
    public IEnumerable<LedgerEntry> Of(DispatchEvent happened) => happened.Data is not AllowanceCommitted { InHand: null } report ? [] : Entries(
        happened.Sequence, 0, null, report.Spent,
        (place, key, reserved, spent) => new LedgerEntry(place, report.Task, report.Attempt, happened.Subject, null, happened.Timestamp, key, reserved, spent));

    /// <summary>The page, of entries in any order.</summary>
    public IReadOnlyList<LedgerEntry> Page(IEnumerable<LedgerEntry> entries) =>
        [.. entries.OrderByDescending(entry => entry.Place.Number).ThenByDescending(entry => entry.Place.Attempt).ThenBy(entry => entry.Place.Item).Take(Most)];

    private IEnumerable<LedgerEntry> Entries(long number, int attempt, Amounts? reserved, Amounts? spent, Func<LedgerPlace, string, long, long, LedgerEntry> make)
    {
        var item = 0;
        var (kept, used) = (reserved ?? Amounts.None, spent ?? Amounts.None);
        foreach (var key in kept.Plus(used).Keys)
        {
            if (!Takes(key))
                continue;
            var place = new LedgerPlace(number, attempt, item++);
            if (place.IsBehind(After))
                yield return make(place, key, kept[key], used[key]);
        }
    }

    private bool Takes(string key) => Exactly is not null
        ? string.Equals(key, Exactly, StringComparison.Ordinal)
        : key.StartsWith(Limit, StringComparison.Ordinal) && (key.Length == Limit.Length || key[Limit.Length] == '/');
}
