using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Simulation.Time;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Disk;

/// <summary>
/// One process's connection to the disk. Commits take time and fail as the weather will; what a failed one did to the disk is what
/// it says, or unknown. It ends with its process: a commit in flight then happened or did not.
/// </summary>
internal sealed class SimStore : IStore
{
    private readonly Universe universe;
    private readonly TimeProvider clock;
    private readonly Random random;
    private Batch? inFlight;

    public SimStore(Universe universe, TimeProvider clock, Random random)
    {
        this.universe = universe;
        this.clock = clock;
        this.random = random;
    }

    private SimDisk Disk => universe.Disk;

    private Weather Weather => universe.Weather;

    public async Task<LoadedState> LoadAsync(CancellationToken cancel)
    {
        await TakeTimeAsync(Weather.ReadMs, cancel);
        if (random.Chance(Weather.LoadFails))
        {
            universe.Reached(Situation.LoadFailed);
            throw new StoreException(StoreFault.Unavailable, "Reading the state failed.");
        }

        return DiskAudit.Load(Disk);
    }

    public async Task CommitAsync(Batch batch, long epoch, CancellationToken cancel)
    {
        if (universe.Nemesis.DiskIsFull)
        {
            await TakeTimeAsync(1, cancel);
            universe.Reached(Situation.DiskFull);
            throw new StoreException(StoreFault.Full, "No room on the disk.");
        }

        inFlight = batch;
        try
        {
            await TakeTimeAsync(Weather.CommitMs, cancel);
            if (random.Chance(Weather.CommitHangs))
                await HangAsync(cancel);
            if (random.Chance(Weather.CommitFails))
            {
                universe.Reached(Situation.CommitFailedBefore);
                throw new StoreException(StoreFault.Unavailable, "Nothing was written.");
            }

            if (random.Chance(Weather.CommitFatal))
            {
                universe.Reached(Situation.CommitFatal);
                if (random.Chance(0.5))
                    Write(batch);
                throw new StoreException(StoreFault.Fatal, "fsync failed.");
            }

            if (random.Chance(Weather.CommitUnknownNotDone))
            {
                universe.Reached(Situation.CommitUnknownAndNotDone);
                throw new StoreException(StoreFault.Unknown, "The connection was lost during the commit.");
            }
        }
        catch
        {
            inFlight = null;
            throw;
        }

        Write(batch);
        inFlight = null;
        if (random.Chance(Weather.CommitUnknownDone))
        {
            universe.Reached(Situation.CommitUnknownAndDone);
            throw universe.Bug == Bug.UnknownToldAsFailed
                ? new StoreException(StoreFault.Unavailable, "Nothing was written.")
                : new StoreException(StoreFault.Unknown, "The connection was lost after the commit.");
        }

        await TakeTimeAsync(Weather.ReadMs, cancel);
    }

    public async Task ProbeAsync(CancellationToken cancel)
    {
        await TakeTimeAsync(Weather.ReadMs, cancel);
        if (universe.Nemesis.DiskIsFull || random.Chance(Weather.ProbeFails))
        {
            universe.Reached(Situation.ProbeFailed);
            throw new StoreException(universe.Nemesis.DiskIsFull ? StoreFault.Full : StoreFault.Unavailable, "The store takes no writes.");
        }
    }

    public Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel) => ReadAsync(() => Disk.Find(id), cancel);

    public Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<TaskSpec?>>(() => [.. numbers.Select(number => Disk.Tasks.GetValueOrDefault(number)?.Spec)], cancel);

    public Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel) => ReadAsync<IReadOnlyList<StoredTask>>(
        () => [.. Disk.Tasks.Values.Reverse().Where(stored => query.Statuses.Count == 0 || query.Statuses.Contains(stored.Task.Status)).Take(query.Limit)], cancel);

    public Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<EndedAttempt>>(() => Disk.Attempts.GetValueOrDefault(taskNumber) is { } list ? [.. list] : [], cancel);

    public Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel) => ReadAsync<IReadOnlyList<DispatchEvent>>(
        () =>
        {
            var history = new List<DispatchEvent>();
            for (var at = lastSequence; at > 0 && history.Count < limit; at = history[^1].Previous)
                history.Add(Disk.Events[(int)at - 1]);
            history.Reverse();
            return history;
        },
        cancel);

    public Task<IReadOnlyList<DispatchEvent>> ListEventsAsync(long after, int limit, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<DispatchEvent>>(() => [.. Disk.Events.Skip((int)after).Take(limit)], cancel);

    public async Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel)
    {
        var facts = await ReadAsync(() => FindFacts(tasks, keys), cancel);
        return universe.Bug == Bug.FactsFromThePast ? facts with { AsOf = Disk.Sequence } : facts;
    }

    public Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel) =>
        ReadAsync<(IReadOnlyList<StoredTask>, long)>(
            () =>
            {
                var examined = Disk.Tasks.Values.SkipWhile(stored => stored.Task.Number <= after).Take(examine).ToList();
                var expired = examined.Where(stored => stored.Task.IsFinal && stored.Task.CompletedAt < finishedBefore).ToList();
                return (expired, examined.Count < examine ? 0 : examined[^1].Task.Number);
            },
            cancel);

    public Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel) => Task.FromResult<IStoreAudit>(new DiskAudit(Disk.Copy()));

    /// <summary>The process is gone. What it had asked of the disk and not been answered happened, or it did not.</summary>
    public void Die()
    {
        if (inFlight is not { } batch)
        {
            universe.Reached(Situation.CrashIdle);
            return;
        }

        inFlight = null;
        var kept = random.Chance(0.5);
        universe.Reached(kept ? Situation.CrashKeptCommitInFlight : Situation.CrashLostCommitInFlight);
        if (kept)
            Write(batch);
    }

    public ValueTask DisposeAsync() => default;

    private void Write(Batch batch) => universe.Written(batch);

    private StoreFacts FindFacts(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys)
    {
        var found = new Dictionary<TaskId, StoredTask>();
        foreach (var id in tasks)
        {
            if (Disk.Find(id) is { } stored)
                found[id] = stored;
        }

        var used = new Dictionary<IdempotencyKey, IdempotencyRow>();
        foreach (var key in keys)
        {
            if (universe.Bug != Bug.KeysForgotten && Disk.Keys.TryGetValue(key, out var row))
                used[key] = row;
        }

        return new StoreFacts(Disk.Sequence, found, used);
    }

    private async Task HangAsync(CancellationToken cancel)
    {
        universe.Reached(Situation.CommitHung);
        await Task.Delay(TimeSpan.FromSeconds(random.Next(5, 60)), clock, cancel);
    }

    /// <summary>A read sees the disk at a moment between the question and the answer, and it may have changed by the time that arrives.</summary>
    private async Task<T> ReadAsync<T>(Func<T> read, CancellationToken cancel)
    {
        await TakeTimeAsync(Weather.ReadMs, cancel);
        if (random.Chance(Weather.ReadFails))
        {
            universe.Reached(Situation.ReadFailed);
            throw new StoreException(StoreFault.Unavailable, "The read failed.");
        }

        var found = read();
        await TakeTimeAsync(Weather.ReadMs, cancel);
        return found;
    }

    private async Task TakeTimeAsync(double most, CancellationToken cancel)
    {
        if (most > 0)
            await Task.Delay(TimeSpan.FromMilliseconds(random.NextDouble() * most), clock, cancel);
    }
}
