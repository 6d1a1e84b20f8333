using Dispatch.Events;

namespace Dispatch.Invariants;

/// <summary>Walks a log and checks that each entry's hash follows from the entry and the hash before it (I-15: the log is as it was written).</summary>
public sealed class ChainChecker
{
    private readonly FindingList findings;
    private HashChain chain;
    private bool broken;

    /// <param name="before">The hash before the first entry that is checked; null: that of an empty log.</param>
    public ChainChecker(FindingList findings, byte[]? before = null)
    {
        this.findings = findings;
        chain = new HashChain(before ?? HashChain.Start);
    }

    /// <summary>Entries checked.</summary>
    public long Entries { get; private set; }

    /// <summary>Sequence of the first entry that is not what was written; null while all are.</summary>
    public long? FirstBad { get; private set; }

    /// <summary>The hash of the last entry.</summary>
    public ReadOnlySpan<byte> Last => chain.Last;

    /// <summary>Takes the next entry.</summary>
    public void Check(LogEntry entry)
    {
        Entries++;
        chain.Add(entry);
        if (chain.Last.SequenceEqual(entry.Hash))
        {
            broken = false;
            return;
        }

        // What follows a change is told only once: the chain goes on from what the entry says.
        if (!broken)
            findings.Add(new Finding.InLog("I-15", entry.Sequence, entry.Subject, $"{entry.Type}: its hash does not follow from it and the hash before: an entry was changed, removed, added or moved here"));
        FirstBad ??= entry.Sequence;
        broken = true;
        chain = new HashChain(entry.Hash.Length == HashChain.Size ? entry.Hash : HashChain.Start);
    }
}
