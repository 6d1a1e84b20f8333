using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Simulation.Disk;

/// <summary>
/// One process's connection to the disk. Commits take time and fail as the weather will; what a failed one did to the disk is what
/// it says, or unknown. It ends with its process: a commit in flight then happened or did not.
/// </summary>
internal sealed class SimStore(Machine machine, TimeProvider clock, Random random) : IStore
{
    private Batch? inFlight;

    private SimDisk Disk => machine.Disk;

    private Weather Weather => machine.Weather;

    public async Task<LoadedState> LoadAsync(CancellationToken cancel)
    {
        await TakeTimeAsync(Weather.ReadMs, cancel);
        if (random.Chance(Weather.LoadFails))
        {
            machine.Rare.Reached(Situation.LoadFailed);
            throw new StoreException(StoreFault.Unavailable, "Reading the state failed.");
        }

        lock (machine)
            return DiskAudit.Load(Disk);
    }

    public async Task CommitAsync(Batch batch, long epoch, CancellationToken cancel)
    {
        cancel.ThrowIfCancellationRequested();
        if (batch.IsEmpty)
            return;
        if (batch.Events[0].Sequence != Disk.Sequence + 1)
        {
            machine.Refuse("I-11", $"Event {batch.Events[0].Sequence} does not follow {Disk.Sequence}.");
            throw new StoreException(StoreFault.Unavailable, "The batch does not continue the log.");
        }

        if (machine.DiskIsFull)
        {
            await TakeTimeAsync(1, cancel);
            machine.Rare.Reached(Situation.DiskFull);
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
                machine.Rare.Reached(Situation.CommitFailedBefore);
                throw new StoreException(StoreFault.Unavailable, "Nothing was written.");
            }

            if (random.Chance(Weather.CommitFatal))
            {
                machine.Rare.Reached(Situation.CommitFatal);
                if (random.Chance(0.5))
                    Write(batch);
                throw new StoreException(StoreFault.Fatal, "fsync failed.");
            }

            if (random.Chance(Weather.CommitUnknownNotDone))
            {
                machine.Rare.Reached(Situation.CommitUnknownAndNotDone);
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
            machine.Rare.Reached(Situation.CommitUnknownAndDone);
            throw machine.Bug == Bug.UnknownToldAsFailed
                ? new StoreException(StoreFault.Unavailable, "Nothing was written.")
                : new StoreException(StoreFault.Unknown, "The connection was lost after the commit.");
        }

        await TakeTimeAsync(Weather.ReadMs, cancel);
    }

    public async Task ProbeAsync(CancellationToken cancel)
    {
        await TakeTimeAsync(Weather.ReadMs, cancel);
        if (machine.DiskIsFull || random.Chance(Weather.ProbeFails))
        {
            machine.Rare.Reached(Situation.ProbeFailed);
            throw new StoreException(machine.DiskIsFull ? StoreFault.Full : StoreFault.Unavailable, "The store takes no writes.");
        }
    }

    public Task SaveCursorsAsync(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries, CancellationToken cancel) =>
        WriteAsync(() => Disk.Save(cursors, deliveries), cancel);

    public Task<IReadOnlyDictionary<string, long>> LoadCursorsAsync(CancellationToken cancel) =>
        ReadAsync<IReadOnlyDictionary<string, long>>(() => new Dictionary<string, long>(Disk.Cursors), cancel);

    public Task<IReadOnlyList<FollowerPlace>> ListCursorsAsync(CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<FollowerPlace>>(() => [.. Disk.Cursors.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => new FollowerPlace(pair.Key, pair.Value, 0))], cancel);

    public Task<IReadOnlyList<WebhookDelivery>> ListDeliveriesAsync(string webhook, int limit, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<WebhookDelivery>>(() => [.. Disk.Deliveries.Where(delivery => delivery.Webhook == webhook).Reverse().Take(limit)], cancel);

    public Task<StoredTask?> FindTaskAsync(TaskId id, CancellationToken cancel) => ReadAsync(() => Disk.Find(id), cancel);

    public Task<IReadOnlyList<TaskSpec?>> FindSpecsAsync(IReadOnlyList<long> numbers, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<TaskSpec?>>(() => [.. numbers.Select(number => Disk.Tasks.GetValueOrDefault(number)?.Spec)], cancel);

    public Task<IReadOnlyList<StoredTask>> ListTasksAsync(TaskQuery query, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<StoredTask>>(() => [.. Disk.Tasks.Values.Reverse().Where(stored => Matches(query, stored)).Take(query.Limit)], cancel);

    public Task<IReadOnlyList<EndedAttempt>> ListAttemptsAsync(long taskNumber, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<EndedAttempt>>(() => Disk.Attempts.GetValueOrDefault(taskNumber) is { } list ? [.. list] : [], cancel);

    public Task<IReadOnlyList<DispatchEvent>> ListHistoryAsync(long lastSequence, int limit, CancellationToken cancel) => ReadAsync<IReadOnlyList<DispatchEvent>>(
        () =>
        {
            var history = new List<DispatchEvent>();
            for (var at = lastSequence; at >= Disk.Horizon && history.Count < limit; at = history[^1].Previous)
                history.Add(Disk.Events[(int)at - 1]);
            history.Reverse();
            return history;
        },
        cancel);

    public Task<IReadOnlyList<LogEntry>> ListEventsAsync(long after, int limit, CancellationToken cancel) =>
        ReadAsync<IReadOnlyList<LogEntry>>(() => [.. Disk.Log.SkipWhile(entry => entry.Sequence <= Math.Max(after, Disk.Horizon - 1)).Take(limit)], cancel);

    public async Task<StoreFacts> FindFactsAsync(IReadOnlyList<TaskId> tasks, IReadOnlyList<IdempotencyKey> keys, CancellationToken cancel)
    {
        var facts = await ReadAsync(() => FindFacts(tasks, keys), cancel);
        return machine.Bug == Bug.FactsFromThePast ? facts with { AsOf = Disk.Sequence } : facts;
    }

    public Task<StoredQuestion?> FindQuestionAsync(string id, CancellationToken cancel) =>
        ReadAsync(() => Disk.Questions.Values.FirstOrDefault(stored => stored.Question.Id == id), cancel);

    public Task<IReadOnlyList<StoredQuestion>> ListQuestionsAsync(QuestionQuery query, CancellationToken cancel) => ReadAsync<IReadOnlyList<StoredQuestion>>(
        () => [.. Disk.Questions.Values.Reverse().Where(stored => stored.Question.Number < (query.Before ?? long.MaxValue) && query.Takes(stored.Question)).Take(query.Limit)], cancel);

    public Task<UsageFacts> FindUsageAsync(string reporter, string id, TaskId? task, CancellationToken cancel) => ReadAsync(
        () => new UsageFacts(
            Disk.Sequence, machine.Bug != Bug.UsageReportsForgotten && Disk.Usage.TryGetValue((reporter, id), out var row) && row.Sequence >= Disk.Horizon ? row : null, task is { } wanted ? Disk.Find(wanted) : null), cancel);

    public Task<IReadOnlyList<LedgerEntry>> ListLedgerAsync(LedgerQuery query, CancellationToken cancel) => ReadAsync(
        () => query.Page(
            Disk.Attempts.SelectMany(pair => pair.Value.SelectMany(ended => query.Of(ended, Disk.Tasks[pair.Key].Task.Id)))
                .Concat(Disk.Tasks.Values.SelectMany(stored => query.Of(stored.Task)))
                .Concat(Disk.Events.Where(happened => happened.Sequence >= Disk.Horizon).SelectMany(query.Of))),
        cancel);

    public Task<PublishedFacts> FindPublishedAsync(string publisher, IReadOnlyList<string> ids, CancellationToken cancel) => ReadAsync(
        () => new PublishedFacts(Disk.Sequence, ids.Where(id => Disk.Published.TryGetValue((publisher, id), out var row) && row.Sequence >= Disk.Horizon).ToDictionary(id => id, id => Disk.Published[(publisher, id)])), cancel);

    public Task<(IReadOnlyList<StoredTask> Expired, long Next)> FindExpiredAsync(long after, long finishedBefore, int examine, CancellationToken cancel) =>
        ReadAsync<(IReadOnlyList<StoredTask>, long)>(
            () =>
            {
                var looked = Disk.Tasks.Values.SkipWhile(stored => stored.Task.Number <= after).Take(examine).ToList();

                // Nothing finishes before it was created, and numbers rise with that.
                var older = looked.TakeWhile(stored => stored.Task.CreatedAt < finishedBefore).ToList();
                var expired = older.Where(stored => stored.Task.IsFinal && stored.Task.CompletedAt < finishedBefore).ToList();
                return (expired, looked.Count < examine || older.Count < looked.Count ? 0 : looked[^1].Task.Number);
            },
            cancel);

    public Task<LogExtent> FindExtentAsync(CancellationToken cancel) => ReadAsync(
        () =>
        {
            var bases = Disk.Bases.Values.Select(known => known.About).Where(known => known.Sequence >= Disk.Horizon - 1).ToList();
            var covered = Math.Max(Disk.Horizon - 1, bases.Count == 0 ? 0 : bases[^1].Sequence);
            var uncovered = Disk.Log.Find(entry => entry.Sequence > covered)?.Timestamp;
            return new LogExtent(Disk.Horizon, Disk.Sequence, Disk.Bytes, uncovered, bases, Disk.Log.Count == 0 || (Disk.Log[0].Sequence >= Disk.Horizon && Disk.Bases.Keys.All(at => at >= Disk.Horizon - 1)));
        },
        cancel);

    public async Task<LogBase> TakeBaseAsync(CancellationToken cancel)
    {
        SimDisk seen;
        lock (machine)
            seen = Disk.Copy();
        if (seen.Bases.TryGetValue(seen.Sequence, out var known))
            return known.About;

        if (machine.Bug == Bug.BaseForgetsTask && seen.Tasks.Count > 0)
            seen.Tasks.Remove(seen.Tasks.Keys.First());
        List<byte[]> parts = [];
        var written = await BaseFormat.WriteAsync(
            new DiskAudit(seen),
            async part =>
            {
                await WriteAsync(() => { }, cancel);
                parts.Add(part);
            },
            cancel);
        var made = written with { Bytes = seen.Bytes };
        await WriteAsync(() => Disk.Bases[made.Sequence] = (made, [.. parts]), cancel);
        return made;
    }

    public async Task PrepareTrimAsync(long upTo, CancellationToken cancel)
    {
        await WriteAsync(() => { }, cancel);
        await WriteAsync(() => Disk.Prepared = Math.Max(Disk.Prepared, upTo), cancel);
    }

    public async Task<bool> TrimAsync(int most, CancellationToken cancel)
    {
        var more = false;
        await WriteAsync(() => more = Disk.Trim(most), cancel);
        if (machine.Bug == Bug.TrimmedTooFar && Disk.Horizon > 1 && Disk.Log.Count > 1 && Disk.Log[0].Sequence == Disk.Horizon)
            Disk.Log.RemoveAt(0);
        return more;
    }

    public Task<IStoreAudit> OpenAuditAsync(CancellationToken cancel)
    {
        lock (machine)
            return Task.FromResult<IStoreAudit>(new DiskAudit(Disk.Copy()));
    }

    /// <summary>The process is gone. What it had asked of the disk and not been answered happened, or it did not.</summary>
    public void Die()
    {
        if (inFlight is not { } batch)
        {
            machine.Rare.Reached(Situation.CrashIdle);
            return;
        }

        inFlight = null;
        var kept = random.Chance(0.5);
        machine.Rare.Reached(kept ? Situation.CrashKeptCommitInFlight : Situation.CrashLostCommitInFlight);
        if (kept)
            Write(batch);
    }

    public ValueTask DisposeAsync() => default;

    /// <summary>A transaction that is no part of the log.</summary>
    private async Task WriteAsync(Action write, CancellationToken cancel)
    {
        await TakeTimeAsync(Weather.CommitMs, cancel);
        if (machine.DiskIsFull || random.Chance(Weather.CommitFails))
            throw new StoreException(machine.DiskIsFull ? StoreFault.Full : StoreFault.Unavailable, "Nothing was written.");
        lock (machine)
            write();
    }

    private void Write(Batch batch)
    {
        lock (machine)
            machine.Write(batch);
    }

    private static bool Matches(TaskQuery query, StoredTask stored)
    {
        var (task, spec) = (stored.Task, stored.Spec);
        return (query.Statuses.Count == 0 || query.Statuses.Contains(task.Status))
            && (query.Requester ?? task.Requester) == task.Requester
            && (query.Assignee ?? task.Assignee) == task.Assignee
            && (query.Scope ?? spec.Scope) == spec.Scope
            && (query.Owner ?? task.Needs.Owner) == task.Needs.Owner
            && (query.Parent ?? task.Parent) == task.Parent
            && query.Labels.All(label => HasLabel(spec, label))
            && (query.VisibleTo is null || query.VisibleTo == task.Requester || query.VisibleTo == task.Needs.Owner || query.VisibleTo == task.Assignee)
            && (query.DeadLettered ?? task.DeadLettered) == task.DeadLettered
            && !(task.Number >= query.Before);
    }

    private static bool HasLabel(TaskSpec spec, string label)
    {
        if (spec.Labels is null)
            return false;
        using var labels = JsonDocument.Parse(spec.Labels.Memory);
        return labels.RootElement.EnumerateObject().Any(known => $"{known.Name}={known.Value.GetString()}" == label);
    }

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
            if (machine.Bug != Bug.KeysForgotten && Disk.Keys.TryGetValue(key, out var row))
                used[key] = row;
        }

        return new StoreFacts(Disk.Sequence, found, used);
    }

    private async Task HangAsync(CancellationToken cancel)
    {
        machine.Rare.Reached(Situation.CommitHung);

        // A thread in a hanging system call hears of no cancellation.
        var isDeaf = random.Chance(0.5);
        await Task.Delay(TimeSpan.FromSeconds(random.Next(5, 60)), clock, isDeaf ? CancellationToken.None : cancel);
    }

    /// <summary>A read sees the disk at a moment between the question and the answer, and it may have changed by the time that arrives.</summary>
    private async Task<T> ReadAsync<T>(Func<T> read, CancellationToken cancel)
    {
        await TakeTimeAsync(Weather.ReadMs, cancel);
        if (random.Chance(Weather.ReadFails))
        {
            machine.Rare.Reached(Situation.ReadFailed);
            throw new StoreException(StoreFault.Unavailable, "The read failed.");
        }

        T found;
        lock (machine)
            found = read();
        await TakeTimeAsync(Weather.ReadMs, cancel);
        return found;
    }

    private async Task TakeTimeAsync(double most, CancellationToken cancel)
    {
        if (most > 0)
            await Task.Delay(TimeSpan.FromMilliseconds(random.NextDouble() * most), clock, cancel);
    }
}
