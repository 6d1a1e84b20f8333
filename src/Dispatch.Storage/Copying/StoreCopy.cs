using System.Threading.Channels;
using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Sqlite;

namespace Dispatch.Storage.Copying;

/// <summary>Which store: one of the two.</summary>
public abstract record StorePlace
{
    private StorePlace()
    {
    }

    public sealed record File(SqliteStoreOptions Options) : StorePlace;

    public sealed record Database(PostgresStoreOptions Options) : StorePlace;
}

/// <param name="Stage">The table that is copied, or <c>check</c>.</param>
/// <param name="Rows">Rows that are there by now, those of an earlier run included; at the check the events that are looked through.</param>
/// <param name="Total">Of how many.</param>
/// <param name="Copied">Rows written by this run.</param>
public readonly record struct CopyProgress(string Stage, long Rows, long Total, long Copied);

/// <summary>What a copy came to.</summary>
/// <param name="Source">Where from, without a password.</param>
/// <param name="Target">Where to, without a password.</param>
/// <param name="LastSequence">Of the last event; 0 for an empty log.</param>
/// <param name="LastHash">Its hash, hexadecimal; empty for an empty log.</param>
/// <param name="Horizon">Sequence of the oldest event that is kept.</param>
/// <param name="Events">Events in the copy.</param>
/// <param name="Rows">Rows in the copy, events included.</param>
/// <param name="Resumed">Rows that an earlier run had copied.</param>
/// <param name="CopyTime">Without the check.</param>
/// <param name="CheckTime">What the check took.</param>
public sealed record CopyReport(
    string Source, string Target, long LastSequence, string LastHash, long Horizon, long Events, long Rows, long Resumed, TimeSpan CopyTime, TimeSpan CheckTime);

/// <summary>
/// Copies a store to another place, of the same engine or the other: every row as it is, the log with its sequence numbers and hashes. Reading and writing overlap.
/// Until all is there and checked, the target is marked as unfinished, and the same call goes on where the last one was.
/// </summary>
public static class StoreCopy
{
    internal const string Advice = "Stop it, and run the copy again.";

    private const int BlocksAhead = 8;

    /// <summary>Copies, has the copy checked, and gives it free.</summary>
    /// <param name="check">Looks at the copy and throws when it is not sound; told of progress itself.</param>
    /// <exception cref="StoreException">A broker runs on one of them, the target holds something else, one of them can't be used, or the copy is not like the source. The message says what to do.</exception>
    public static async Task<CopyReport> RunAsync(
        StorePlace from, StorePlace to, Func<IStore, CopyProgress, Task> check, IProgress<CopyProgress>? progress, TimeProvider clock, CancellationToken cancel)
    {
        await using var source = await OpenSourceAsync(from, clock, cancel);
        await using var target = await OpenTargetAsync(to, clock, cancel);
        var began = clock.GetTimestamp();
        var end = await source.FindEndAsync(cancel);
        var mark = await BeginAsync(source, target, end, cancel);

        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var table in StoreTable.All)
            counts.Add(table.Name, table.IsLog ? end.Sequence == 0 ? 0 : end.Sequence - end.Horizon + 1 : await source.CountAsync(table, end.Horizon, cancel));
        var (total, rows, resumed) = (counts.Values.Sum(), 0L, 0L);

        if (end.Sequence > 0)
            await target.MakeRoomAsync(end.Horizon, end.Sequence, cancel);
        foreach (var table in StoreTable.All)
        {
            if (mark.Done.Contains(table.Name, StringComparer.Ordinal))
            {
                (rows, resumed) = (rows + counts[table.Name], resumed + counts[table.Name]);
                continue;
            }

            var last = table.Order is null ? null : await target.FindLastAsync(table, cancel);
            await target.ClearAsync(table, last, cancel);
            var known = last is null ? 0 : await target.CountAsync(table, end.Horizon, cancel);
            (rows, resumed) = (rows + known, resumed + known);
            await CopyAsync(table, last);
            mark = mark with { Done = [.. mark.Done, table.Name] };
            await target.MarkAsync(mark, cancel);
        }

        await target.DeriveAsync(cancel);
        var copied = clock.GetTimestamp();
        await CompareAsync(target, end, counts, cancel);
        await using (var store = target.OpenForReading())
            await check(store, new CopyProgress("check", 0, counts["events"], rows - resumed));
        await target.MarkAsync(null, cancel);
        return new CopyReport(
            source.Where, target.Where, end.Sequence, end.Hash, end.Horizon, counts["events"], total, resumed, clock.GetElapsedTime(began, copied), clock.GetElapsedTime(copied));

        async Task CopyAsync(StoreTable table, long? after)
        {
            progress?.Report(new CopyProgress(table.Name, rows, total, rows - resumed));
            var blocks = Channel.CreateBounded<RowBlock>(new BoundedChannelOptions(BlocksAhead) { SingleReader = true, SingleWriter = true });
            using var broken = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            var reading = Task.Factory.StartNew(ReadAsync, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
            try
            {
                await target.WriteAsync(table, blocks.Reader, count => progress?.Report(new CopyProgress(table.Name, rows += count, total, rows - resumed)), cancel);
            }
            catch
            {
                // Why the writing failed is what has to be told.
                await broken.CancelAsync();
                await ((Task)reading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                throw;
            }

            await reading;
            cancel.ThrowIfCancellationRequested();

            async Task ReadAsync()
            {
                try
                {
                    await source.ReadAsync(table, end.Horizon, after, blocks.Writer, broken.Token);
                }
                finally
                {
                    // What was read until then is still written.
                    blocks.Writer.Complete();
                }
            }
        }
    }

    /// <summary>Takes the target for this copy, or goes on with it.</summary>
    private static async Task<CopyMark> BeginAsync(ICopySource source, ICopyTarget target, CopyEnd end, CancellationToken cancel)
    {
        var fresh = new CopyMark(end.Sequence, end.Hash, source.Where, []);
        var there = await target.FindEndAsync(cancel);
        if (await target.FindMarkAsync(cancel) is not { } mark)
        {
            if (there.Sequence > 0)
                throw new StoreException(StoreFault.Unavailable, $"{target.Where} is not empty: it holds a store with {there.Sequence} events. It was left as it is; give a target that is empty, or remove that one first.");
            await target.MarkAsync(fresh, cancel);
            return fresh;
        }

        // The same log, perhaps gone on: it has the event with which the copy was begun, and the last that was copied.
        if ((mark.Sequence > 0 && await source.FindHashAsync(mark.Sequence, cancel) != mark.Hash)
            || (there.Sequence >= end.Horizon && await source.FindHashAsync(there.Sequence, cancel) != there.Hash))
        {
            throw new StoreException(
                StoreFault.Unavailable, $"{target.Where} is an unfinished copy of {mark.Source}, and {source.Where} is not that store. It was left as it is; copy from that one again, or remove the unfinished copy first.");
        }

        if (mark.Sequence == end.Sequence)
            return mark;

        // The log only grows; everything else may be another by now.
        foreach (var table in StoreTable.All)
        {
            if (!table.IsLog || there.Sequence < end.Horizon)
                await target.ClearAsync(table, null, cancel);
        }

        await target.MarkAsync(fresh, cancel);
        return fresh;
    }

    private static async Task CompareAsync(ICopyTarget target, CopyEnd end, Dictionary<string, long> counts, CancellationToken cancel)
    {
        var wrong = new List<string>();
        if (await target.FindEndAsync(cancel) is var last && last != end)
            wrong.Add($"the log ends with event {last.Sequence} (hash {last.Hash}) and begins with {last.Horizon}, not {end.Sequence} (hash {end.Hash}) and {end.Horizon}");
        foreach (var table in StoreTable.All)
        {
            if (await target.CountAsync(table, end.Horizon, cancel) is var count && count != counts[table.Name])
                wrong.Add($"{table.Name} has {count} rows, not {counts[table.Name]}");
        }

        if (wrong.Count > 0)
            throw new StoreException(StoreFault.Corrupt, $"{target.Where} is not like the source: {string.Join("; ", wrong)}. Remove it and copy again.");
    }

    private static async Task<ICopySource> OpenSourceAsync(StorePlace place, TimeProvider clock, CancellationToken cancel)
    {
        try
        {
            return place switch
            {
                StorePlace.File file => SqliteCopySource.Open(file.Options),
                StorePlace.Database database => await PostgresCopySource.OpenAsync(database.Options, clock, cancel),
                _ => throw new ArgumentOutOfRangeException(nameof(place)),
            };
        }
        catch (StoreException held) when (held.Fault == StoreFault.Locked)
        {
            throw new StoreException(StoreFault.Locked, $"The source can't be copied while it is written: {held.Message}", held);
        }
    }

    private static async Task<ICopyTarget> OpenTargetAsync(StorePlace place, TimeProvider clock, CancellationToken cancel)
    {
        try
        {
            return place switch
            {
                StorePlace.File file => SqliteCopyTarget.Open(file.Options, clock),
                StorePlace.Database database => await PostgresCopyTarget.OpenAsync(database.Options, clock, cancel),
                _ => throw new ArgumentOutOfRangeException(nameof(place)),
            };
        }
        catch (StoreException held) when (held.Fault == StoreFault.Locked)
        {
            throw new StoreException(StoreFault.Locked, $"The target is in use: {held.Message}", held);
        }
    }
}
