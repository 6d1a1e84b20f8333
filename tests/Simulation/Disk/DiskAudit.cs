using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Disk;

/// <summary>A look at a copy of the disk.</summary>
internal sealed class DiskAudit(SimDisk disk) : IStoreAudit
{
    public Task<LogBase?> FindBaseAsync(CancellationToken cancel) => Task.FromResult(disk.Horizon == 1 ? null : disk.Bases[disk.Horizon - 1].About);

    public IAsyncEnumerable<byte[]> BasePartsAsync(CancellationToken cancel) => disk.Bases[disk.Horizon - 1].Parts.ToAsyncEnumerable();

    public IAsyncEnumerable<LogEntry> EventsAsync(CancellationToken cancel) => disk.Log.SkipWhile(entry => entry.Sequence < disk.Horizon).ToAsyncEnumerable();

    public IAsyncEnumerable<StoredTask> TasksAsync(CancellationToken cancel) => disk.Tasks.Values.ToAsyncEnumerable();

    public IAsyncEnumerable<EndedAttempt> AttemptsAsync(CancellationToken cancel) =>
        disk.Attempts.Values.SelectMany(list => list.OrderBy(attempt => attempt.Attempt)).ToAsyncEnumerable();

    public IAsyncEnumerable<IdempotencyRow> KeysAsync(CancellationToken cancel) =>
        disk.Keys.Values
        .OrderBy(key => key.TaskNumber).ThenBy(key => key.Caller, StringComparer.Ordinal).ThenBy(key => key.Key, StringComparer.Ordinal).ToAsyncEnumerable();

    public IAsyncEnumerable<UsageRow> UsageAsync(CancellationToken cancel) => disk.Usage.Values.Where(row => row.Sequence >= disk.Horizon).OrderBy(row => row.Sequence).ToAsyncEnumerable();

    public IAsyncEnumerable<PublishedRow> PublishedAsync(CancellationToken cancel) => disk.Published.Values.Where(row => row.Sequence >= disk.Horizon).OrderBy(row => row.Sequence).ToAsyncEnumerable();

    public Task<LoadedState> LoadAsync(CancellationToken cancel) => Task.FromResult(Load(disk));

    public ValueTask DisposeAsync() => default;

    public static LoadedState Load(SimDisk disk) => BalanceRecovery.Recover(Read(disk), [.. disk.Balances.Values], disk.BalancesWritten ?? disk.Sequence, disk.Log.Where(entry => entry.Sequence > disk.BalancesWritten));

    private static LoadedState Read(SimDisk disk) => new(
        disk.Sequence, disk.Events.Count == 0 ? 0 : disk.Events[^1].Timestamp, disk.Hash, disk.Tasks.Values.Select(stored => stored.Task).Where(task => !task.IsFinal).ToArray(),
        disk.Agents.Values.OrderBy(agent => agent.RegisteredAt).ToArray(), disk.Tokens.Values.ToArray(), disk.Sessions.Values.ToArray(), disk.Publishers.Values.ToArray(), [.. disk.Totals])
    {
        Webhooks = [.. disk.Webhooks.Values],
        Questions = [.. disk.Questions.Values.Select(stored => stored.Question).Where(question => question.IsOpen)],
        Responders = [.. disk.Responders.Values],
        Limits = [.. disk.Limits.Values],
        Horizon = disk.Horizon,
    };
}
