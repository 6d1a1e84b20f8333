using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Http;
using Dispatch.Invariants;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Host;

/// <summary>The log in a store, read without a broker: what <c>dispatch events replay</c> and <c>dispatch audit</c> run. A broker may be at work on it.</summary>
public static class StoredLog
{
    private const int ReportEvery = 10_000;
    private const int Chunk = 1_000;
    private const int Ahead = 8;

    /// <summary>Folds the log up to an event and writes what was then as JSON: tasks by state, those not finished in full, and agents.</summary>
    /// <param name="to">The last event to fold; null: all there are.</param>
    /// <param name="withTasks">Whether tasks are written in full.</param>
    /// <param name="progress">Told now and then how many events are folded.</param>
    /// <returns>The state as of then.</returns>
    /// <exception cref="BrokerStartException">The store can't be read, the log ends before, or it is no longer kept so far back.</exception>
    public static async Task<RebuiltState> ReplayAsync(string location, long? to, bool withTasks, IProgress<long>? progress, CancellationToken stop)
    {
        var state = new State(new StateOptions(), live: false);
        long timestamp = 0;

        // Rows are read here, understood on any thread, and folded on a thread of their own, a few chunks behind.
        using var ahead = new BlockingCollection<Task<DispatchEvent[]>>(Ahead);
        using var broken = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var folding = Task.Factory.StartNew(FoldAll, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var chunk = new List<LogEntry>(Chunk);
        try
        {
            await ReadAllAsync();
        }
        finally
        {
            // What went wrong there has been told, or something else went wrong before.
            ahead.CompleteAdding();
            await folding.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (to > state.Sequence)
            throw new BrokerStartException($"The log ends at event {state.Sequence}.", $"Ask for an event up to that one: --to {state.Sequence}");

        Task ReadAllAsync() => ReadAsync(location, row =>
        {
            if (row.Start is { } start)
            {
                timestamp = start.Timestamp;
                if (to < start.Sequence)
                    throw new BrokerStartException($"The events before {start.Sequence + 1} are no longer kept; what was before event {start.Sequence} can't be rebuilt.", $"Ask for that event or a later one: --to {start.Sequence}");
            }

            state.Restore(row);
        }, entry =>
        {
            if (entry.Sequence > to)
                return false;
            chunk.Add(entry);
            if (chunk.Count == Chunk)
                Send();
            return entry.Sequence != to;
        }, () =>
        {
            Send();
            ahead.CompleteAdding();
            folding.GetAwaiter().GetResult();
        }, stop);

        void Send()
        {
            var entries = chunk.ToArray();
            chunk.Clear();
            try
            {
                ahead.Add(Task.Run(() => Array.ConvertAll(entries, State.Read), stop), broken.Token);
            }
            catch (OperationCanceledException) when (!stop.IsCancellationRequested)
            {
                folding.GetAwaiter().GetResult();
            }
        }

        void FoldAll()
        {
            try
            {
                foreach (var read in ahead.GetConsumingEnumerable(CancellationToken.None))
                {
                    foreach (var happened in read.GetAwaiter().GetResult())
                    {
                        state.Apply(happened);
                        timestamp = happened.Timestamp;
                    }

                    progress?.Report(state.Sequence);
                }
            }
            catch
            {
                broken.Cancel();
                throw;
            }
        }

        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
            Write(json, state, timestamp, withTasks);
        return new RebuiltState(
            state.Sequence, DateTimeOffset.FromUnixTimeMilliseconds(timestamp), Enum.GetValues<TaskState>().ToDictionary(TaskWriter.Word, status => state.Tasks.Totals[(int)status]),
            [.. state.Agents.All.Select(entry => (entry.Agent.Id, AgentWriter.Word(entry.Agent.Status), entry.Active))], Encoding.UTF8.GetString(buffer.ToArray()));
    }

    /// <summary>Follows the chain of hashes from the first event that is kept to the last.</summary>
    /// <param name="checkpoints">Checkpoints exported before, to be found in the log as they say: a log that was cut, or written anew, is not as it was.</param>
    /// <param name="progress">Told now and then how many events are checked.</param>
    /// <exception cref="BrokerStartException">The store can't be read.</exception>
    public static async Task<AuditReport> VerifyAsync(string location, IReadOnlyList<LogCheckpoint> checkpoints, IProgress<long>? progress, CancellationToken stop)
    {
        var findings = new FindingList();
        var beginning = new BaseCheck(findings);
        var chain = new ChainChecker(findings);
        LogTrimmed? trimmed = null;
        var faults = new List<string>();
        long last = 0;
        long? firstBad = null;
        var wanted = checkpoints.ToLookup(checkpoint => checkpoint.Sequence);
        var met = 0;
        await ReadAsync(location, row =>
        {
            if (row.Start is not { } start)
                return;
            chain = new ChainChecker(findings, start.Hash);
            last = start.Sequence;
            Meet(last, start.Hash);
        }, entry =>
        {
            if (entry.Type == LogTrimmed.Is.Name)
                trimmed = (LogTrimmed)State.Read(entry).Data;
            if (entry.Sequence != last + 1)
            {
                faults.Add(entry.Sequence > last ? $"events {last + 1} to {entry.Sequence - 1} are missing" : $"event {entry.Sequence} stands behind {last}");
                firstBad ??= last + 1;
            }

            last = entry.Sequence;
            chain.Check(entry);
            Meet(entry.Sequence, entry.Hash);
            if (chain.Entries % ReportEvery == 0)
                progress?.Report(chain.Entries);
            return true;
        }, () => beginning.Finish(trimmed), stop, beginning);
        foreach (var cut in checkpoints.Where(checkpoint => checkpoint.Sequence > last))
        {
            faults.Add($"the log ends at event {last}, but a checkpoint was signed at {cut.Sequence}: events {last + 1} to {cut.Sequence} were cut off");
            firstBad ??= last + 1;
        }

        var before = checkpoints.Count(checkpoint => checkpoint.Sequence < beginning.Horizon - 1);
        var bad = new[] { firstBad, chain.FirstBad, findings.Kept.OfType<Finding.InLog>().Select(found => (long?)found.Sequence).Min() }.Where(sequence => sequence is not null).Min();
        return new AuditReport(chain.Entries, last, Convert.ToHexStringLower(chain.Last), bad, [.. findings.Kept.Select(found => found.ToString()!), .. faults], met)
        {
            Horizon = beginning.Horizon,
            CheckpointsBefore = before,
        };

        void Meet(long sequence, byte[] hash)
        {
            foreach (var checkpoint in wanted[sequence])
            {
                met++;
                if (checkpoint.Hash != Convert.ToHexStringLower(hash))
                {
                    faults.Add($"event {sequence} is not the one that the checkpoint of {checkpoint.Time:yyyy-MM-dd'T'HH:mm:ss'Z'} was signed for: the log up to it was written anew");
                    firstBad ??= sequence;
                }
            }
        }
    }

    private static async Task ReadAsync(
        string location, Action<BaseRow> begin, Func<LogEntry, bool> take, Action end, CancellationToken stop, BaseCheck? check = null)
    {
        try
        {
            await using var store = Stores.OpenForReading(location);
            await using var audit = await store.OpenAuditAsync(stop);
            var unsound = new FindingList();
            await (check ?? new BaseCheck(unsound)).ReadAsync(audit, begin, stop);
            if (unsound.Count > 0)
                throw new BrokerStartException($"The state that stands for the events no longer kept can't be trusted: {unsound.Kept[0]}", "See: dispatch doctor");
            await foreach (var entry in audit.EventsAsync(stop))
            {
                if (!take(entry))
                    break;
            }

            end();
        }
        catch (StoreException failure)
        {
            throw new BrokerStartException(failure.Message, null, failure);
        }
        catch (Exception unreadable) when (unreadable is KeyNotFoundException or JsonException)
        {
            throw new BrokerStartException($"The log holds an event that this release can't read: {unreadable.Message}", "Use the release that wrote it, or a later one.", unreadable);
        }
    }

    private static void Write(Utf8JsonWriter json, State state, long timestamp, bool withTasks)
    {
        json.WriteStartObject();
        json.WriteNumber("sequence"u8, state.Sequence);
        TaskWriter.Time(json, "time"u8, timestamp);
        json.WriteStartObject("totals"u8);
        foreach (var status in Enum.GetValues<TaskState>())
            json.WriteNumber(TaskWriter.Word(status), state.Tasks.Totals[(int)status]);
        json.WriteEndObject();
        json.WriteStartArray("agents"u8);
        foreach (var entry in state.Agents.All)
        {
            json.WriteStartObject();
            json.WriteString("id"u8, entry.Agent.Id);
            json.WriteString("status"u8, AgentWriter.Word(entry.Agent.Status));
            json.WriteBoolean("drained"u8, entry.Agent.Drained);
            json.WriteNumber("active"u8, entry.Active);
            json.WriteNumber("max_concurrent"u8, entry.Agent.MaxConcurrent);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        if (withTasks)
        {
            json.WriteStartArray("tasks"u8);
            foreach (var entry in state.Tasks.All.OrderBy(entry => entry.Task.Number))
                TaskWriter.Write(json, entry.Task, entry.Spec ?? throw new InvalidOperationException($"Task {entry.Task.Id} was folded without its words."), null, null, 0);
            json.WriteEndArray();
        }

        json.WriteEndObject();
    }
}

/// <summary>What the log comes to at one event.</summary>
/// <param name="Totals">Tasks in each state.</param>
/// <param name="Agents">Registered agents: id, status, tasks in hand.</param>
/// <param name="Json">All of it as one JSON object.</param>
public sealed record RebuiltState(
    long Sequence, DateTimeOffset Time, IReadOnlyDictionary<string, long> Totals, IReadOnlyList<(string Id, string Status, int Active)> Agents, string Json);

/// <summary>What following the chain came to.</summary>
/// <param name="Events">Events checked.</param>
/// <param name="LastSequence">The last of them.</param>
/// <param name="LastHash">Its hash, hexadecimal.</param>
/// <param name="FirstBad">The first event that is not as it was written; null when all are.</param>
/// <param name="Faults">What is wrong.</param>
/// <param name="Checkpoints">How many checkpoints were found in the log.</param>
public sealed record AuditReport(long Events, long LastSequence, string LastHash, long? FirstBad, IReadOnlyList<string> Faults, int Checkpoints)
{
    /// <summary>Sequence of the oldest event that is kept; those before it can't be checked any more, but for the last of them.</summary>
    public long Horizon { get; init; } = 1;

    /// <summary>Checkpoints of events that are no longer kept.</summary>
    public int CheckpointsBefore { get; init; }
}
