using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Invariants;

/// <summary>Checks a whole store: walks its log by the rules, folds it (from the base at its horizon, if it has one), and compares the tables with what comes out.</summary>
public static class StoreCheck
{
    private const int ReportEvery = 10_000;

    /// <summary>Checks everything as of one moment. A broker may go on writing meanwhile.</summary>
    /// <param name="ownerFilter">Whether the rule about owners held for the whole log; null: not to be checked.</param>
    /// <param name="progress">Told now and then how far it is.</param>
    /// <exception cref="StoreException">The store can't be opened for reading. What is found unreadable later is a finding.</exception>
    public static async Task<StoreReport> RunAsync(
        IStore store, StateOptions options, bool? ownerFilter, IProgress<StoreProgress>? progress, CancellationToken cancel)
    {
        var findings = new FindingList();
        var log = new LogChecker(findings, ownerFilter);
        var beginning = new BaseCheck(findings);
        var comparer = new StateComparer(options, findings);
        await using var audit = await store.OpenAuditAsync(cancel);
        try
        {
            await beginning.ReadAsync(audit, row =>
            {
                log.Begin(row);
                comparer.Begin(row);
            }, cancel);
            var links = new ChainChecker(findings, beginning.Start?.Hash);
            await foreach (var entry in audit.EventsAsync(cancel).WithCancellation(cancel))
            {
                links.Check(entry);
                var happened = Read(entry);
                log.Check(happened);
                comparer.Fold(happened);
                if (log.Events % ReportEvery == 0)
                    progress?.Report(new StoreProgress(log.Events, 0));
            }

            log.Finish();
            beginning.Finish(log.Trimmed);
            await comparer.CompareAsync(audit, progress is null ? null : new RowProgress(progress, log.Events), cancel);
        }
        catch (StoreException unreadable) when (unreadable.Fault == StoreFault.Corrupt)
        {
            findings.Add(new Finding.Unreadable("store", $"{unreadable.Message} (after event {log.Sequence})"));
        }

        return new StoreReport(log.Events, log.Sequence, comparer.Rows, findings.Kept, findings.Count) { Horizon = beginning.Horizon };
    }

    private static DispatchEvent Read(LogEntry entry)
    {
        try
        {
            return State.Read(entry);
        }
        catch (Exception unreadable) when (unreadable is KeyNotFoundException or System.Text.Json.JsonException or FormatException)
        {
            throw new StoreException(StoreFault.Corrupt, $"Event {entry.Sequence} can't be read: {unreadable.Message}", unreadable);
        }
    }

    private sealed class RowProgress(IProgress<StoreProgress> outer, long events) : IProgress<long>
    {
        public void Report(long value) => outer.Report(new StoreProgress(events, value));
    }
}

/// <param name="Events">Events walked so far.</param>
/// <param name="Tasks">Task rows compared so far.</param>
public readonly record struct StoreProgress(long Events, long Tasks);

/// <summary>What a check of a store found.</summary>
/// <param name="Events">Events walked.</param>
/// <param name="LastSequence">The sequence number of the last of them.</param>
/// <param name="Rows">Rows compared, by table.</param>
/// <param name="Findings">The first findings; empty when the store is sound.</param>
/// <param name="Count">How many there are in all.</param>
public sealed record StoreReport(long Events, long LastSequence, RowCounts Rows, IReadOnlyList<Finding> Findings, long Count)
{
    /// <summary>Sequence of the first event that is kept: before it, what was is what its base says.</summary>
    public long Horizon { get; init; } = 1;

    public bool IsSound => Count == 0;
}
