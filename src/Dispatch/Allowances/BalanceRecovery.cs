using Dispatch.Events;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>
/// Balances change with every task, and with many limits each has a row of its own: they are not written with every change, but when they have waited
/// a while. What happened since is in the log, as changed pages are in the log of a database (fuzzy checkpoints: Mohan et al., ARIES, 1992): a store
/// that is read brings its rows up to the last event with this. What is reserved is not in the rows: it follows from the tasks in hand.
/// </summary>
public static class BalanceRecovery
{
    /// <summary>Types of the events that say what balances become. A store may leave all others out.</summary>
    public static readonly IReadOnlyList<string> EventTypes =
    [
        .. new[]
        {
            TaskAssigned.Is, TaskCompleted.Is, TaskFailed.Is, TaskTimedOut.Is, TaskCancelled.Is,
            AllowanceReset.Is, AllowanceWarning.Is, AllowanceExceeded.Is, AllowanceCommitted.Is,
        }.Select(kind => kind.Name),
    ];

    /// <summary>The balances as of the last event, and in <see cref="LoadedState.UnwrittenBalances"/> those whose rows are behind.</summary>
    /// <param name="loaded">With limits and tasks as of the last event.</param>
    /// <param name="written">The rows.</param>
    /// <param name="upTo">What events up to this one changed is in the rows; see <see cref="Batch.BalancesWritten"/>.</param>
    /// <param name="entries">The log from there on, in order; at least those of <see cref="EventTypes"/>.</param>
    public static LoadedState Recover(LoadedState loaded, IReadOnlyList<WrittenBalance> written, long upTo, IEnumerable<LogEntry> entries)
    {
        var table = new State(new StateOptions(), live: false).Allowances;
        table.Load(loaded.Limits, [.. written.Select(row => row.Balance)]);
        var behind = table.Recover(written, loaded.Tasks, entries);
        return loaded with
        {
            Balances = [.. table.Balances.OrderBy(balance => balance.Key, StringComparer.Ordinal)],
            UnwrittenBalances = behind,
            BalancesWritten = upTo,
        };
    }
}

/// <param name="AsOf">Sequence of the last event of the batch that wrote it.</param>
public readonly record struct WrittenBalance(LimitBalance Balance, long AsOf);
