using Dispatch.Allowances;
using Dispatch.Matching;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Contract;

/// <summary>What was reserved and spent, read from where it is written.</summary>
public abstract partial class StoreContract
{
    [StoreFact]
    public async Task The_ledger_is_read_from_attempts_tasks_in_hand_and_reports()
    {
        await CommitLedgerAsync(Log, CommitAsync);

        Assert.Equal(
            ["report b/x 0 7", "2 held b/x 60 40", "1 Failed b/x 100 5", "2 Completed b/x 30 31", "2 Completed b/y 0 9", "1 Lost b/x 20 0"],
            (await LedgerAsync(new LedgerQuery("b", null, LedgerPlace.Start, 100))).Select(Told));
        Assert.Equal(["2 Completed b/y 0 9"], (await LedgerAsync(new LedgerQuery("b", "y", LedgerPlace.Start, 100))).Select(Told));
        Assert.Equal(["2 held a 1 0", "1 Failed a 2 0"], (await LedgerAsync(new LedgerQuery("a", null, LedgerPlace.Start, 100))).Select(Told));
        Assert.Empty(await LedgerAsync(new LedgerQuery("c", null, LedgerPlace.Start, 100)));
        Assert.Empty(await LedgerAsync(new LedgerQuery("b", "x/y", LedgerPlace.Start, 100)));
    }

    [StoreFact]
    public async Task The_ledger_is_read_page_by_page()
    {
        await CommitLedgerAsync(Log, CommitAsync);
        for (var n = 0; n < 30; n++)
        {
            var task = Log.Assign(Log.Submit(), "w");
            Log.Raise(task, new TaskReassigned("w", 1, "released", 0, false));
        }

        await CommitAsync();
        var all = await LedgerAsync(new LedgerQuery("b", null, LedgerPlace.Start, 100));

        foreach (var most in new[] { 1, 2, 4 })
        {
            var paged = new List<LedgerEntry>();
            while (await LedgerAsync(new LedgerQuery("b", null, paged.Count == 0 ? LedgerPlace.Start : paged[^1].Place, most)) is { Count: > 0 } page)
            {
                Assert.InRange(page.Count, 1, most);
                paged.AddRange(page);
            }

            Assert.Equal(all, paged);
        }
    }

    /// <summary>Three tasks: one given back and then completed, one failed, one given back and in hand again; and two reports.</summary>
    internal static async Task CommitLedgerAsync(BatchBuilder log, Func<Task> commitAsync)
    {
        var first = Reserve(log, log.Submit(), 1, ("b/x", 20));
        first = log.Raise(first, new TaskReassigned("w", 1, "vanished", 1, true));
        first = Reserve(log, first, 2, ("b/x", 30), ("other", 3));
        log.Raise(first, new TaskCompleted("w", 2, null, null, "small", Of(("b/x", 31), ("b/y", 9))));
        await commitAsync();
        var second = Reserve(log, log.Submit(), 1, ("a", 2), ("b/x", 100));
        log.Raise(second, new TaskFailed("w", 1, "It broke.", false, null, null, Of(("b/x", 5))));
        var third = log.Raise(Reserve(log, log.Submit(), 1, ("c2", 1)), new TaskReassigned("w", 1, "released", 0, false));
        third = Reserve(log, third, 2, ("a", 1), ("b/x", 60));
        log.Charge(third, new TaskCharge(Of(("a", 1), ("b/x", 60)), Of(("b/x", 40))));
        log.Report("w", "in-hand", Of(("b/x", 40)), inHand: true);
        log.Report("w", "apart", Of(("b/x", 7)));
        await commitAsync();
    }

    private static WorkTask Reserve(BatchBuilder log, WorkTask task, int attempt, params (string Key, long Amount)[] reserved) =>
        log.Raise(task, new TaskAssigned("w", attempt, 12, new MatchScore(1, 1, 1, 1, 0, 10, 1), Of(reserved)));

    private static Amounts Of(params (string Key, long Amount)[] amounts) => new([.. amounts.Select(one => new KeyValuePair<string, long>(one.Key, one.Amount))]);

    private Task<IReadOnlyList<LedgerEntry>> LedgerAsync(LedgerQuery query) => Store.ListLedgerAsync(query, None);

    private static string Told(LedgerEntry entry) =>
        $"{(entry.Attempt is { } attempt ? $"{attempt} {entry.Outcome?.ToString() ?? "held"}" : "report")} {entry.Key} {entry.Reserved} {entry.Spent}";
}
