using Dispatch.Retention;
using Dispatch.Sequencing;

namespace Dispatch.Invariants;

/// <summary>
/// Reads the base that stands for the beginning of a log, and checks that it is the one the log tells of (I-15): its digest is in the event that
/// moved the horizon, and so in the chain.
/// </summary>
public sealed class BaseCheck(FindingList findings)
{
    private string? digest;

    /// <summary>Where the base stands; null while the log is kept from its first event.</summary>
    public BaseStart? Start { get; private set; }

    /// <summary>Sequence of the oldest event that is kept.</summary>
    public long Horizon => (Start?.Sequence ?? 0) + 1;

    /// <summary>Hands over the rows of the base, if there is one.</summary>
    /// <exception cref="StoreException">It is missing, or can't be read.</exception>
    public async Task ReadAsync(IStoreAudit store, Action<BaseRow> take, CancellationToken cancel)
    {
        if (await store.FindBaseAsync(cancel) is not { } known)
            return;

        await foreach (var row in BaseFormat.ReadAsync(store.BasePartsAsync(cancel), cancel))
        {
            Start ??= row.Start ?? throw new StoreException(StoreFault.Corrupt, "The base of the log does not say where it stands.");
            digest = row.End?.Digest;
            take(row);
        }

        if (Start?.Sequence != known.Sequence)
            Find($"it stands at event {Start?.Sequence} and is stored as that of event {known.Sequence}");
        else if (digest != known.Digest)
            Find("it is not what was taken: a part was changed, added or left out");
    }

    /// <summary>Call at the end of the log with what it tells of its last base.</summary>
    public void Finish(LogTrimmed? told)
    {
        if (Start is null)
            return;
        if (told?.Horizon != Horizon)
            Find(told is null ? "no event tells of it" : $"the log tells of one at event {told.Horizon - 1}");
        else if (told.Base != digest)
            Find("it is not the one that the log tells of");
    }

    private void Find(string problem) => findings.Add(new Finding.InLog("I-15", Start?.Sequence ?? 0, "base", problem));
}
