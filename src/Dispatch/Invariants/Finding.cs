namespace Dispatch.Invariants;

/// <summary>Something that must not be: an event that breaks a rule, or a row that is not what the log makes of it.</summary>
public abstract record Finding
{
    private Finding()
    {
    }

    /// <summary>An event broke a rule.</summary>
    /// <param name="Invariant">Number of the rule: <c>I-5</c>. See <see cref="LogChecker"/>.</param>
    /// <param name="Sequence">The event; that of the last one for what is missing at the end.</param>
    /// <param name="Subject">Id of the task, agent or token.</param>
    public sealed record InLog(string Invariant, long Sequence, string Subject, string Problem) : Finding
    {
        public override string ToString() => $"{Invariant} at event {Sequence}, {Subject}: {Problem}";
    }

    /// <summary>A row differs from the folded log.</summary>
    /// <param name="Table">Name of the table.</param>
    /// <param name="Key">Which row.</param>
    /// <param name="Column">Which column; <c>*</c> for a whole row that is missing or should not be there.</param>
    /// <param name="Expected">What the log makes of it, cut off when long.</param>
    /// <param name="Found">What the store holds, cut off when long.</param>
    public sealed record InTable(string Table, string Key, string Column, string Expected, string Found) : Finding
    {
        public override string ToString() => $"{Table} {Key}, {Column}: the log says {Expected}, the table {Found}";
    }

    /// <summary>The store could not be read to its end, or the log not be folded.</summary>
    public sealed record Unreadable(string Where, string Problem) : Finding
    {
        public override string ToString() => $"{Where}: {Problem}";
    }
}

/// <summary>Findings, all counted and the first ones kept: a damaged store must not fill the memory with what is wrong with it.</summary>
public sealed class FindingList(int limit = 200)
{
    private readonly List<Finding> kept = [];

    /// <summary>The first findings, in the order they were made.</summary>
    public IReadOnlyList<Finding> Kept => kept;

    /// <summary>All findings, those not kept included.</summary>
    public long Count { get; private set; }

    public void Add(Finding finding)
    {
        Count++;
        if (kept.Count < limit)
            kept.Add(finding);
    }
}
