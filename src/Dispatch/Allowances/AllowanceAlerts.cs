using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>What is said of balances that come near their limits, and the work that is taken back when one is used up.</summary>
internal sealed class AllowanceAlerts(State state, AllowanceTable table)
{
    private readonly List<BalanceEntry> booked = [];
    private readonly List<BalanceEntry> pausing = [];

    /// <summary>Something was booked: it is looked at with the next word.</summary>
    internal void Note(BalanceEntry entry)
    {
        if (entry.Booked)
            return;
        entry.Booked = true;
        booked.Add(entry);
    }

    /// <summary>Warnings, and pauses, that follow from a limit's new amount.</summary>
    internal void TellOf(Decision decision, string limit)
    {
        foreach (var entry in table.BalancesOf(limit))
        {
            if (entry.Exists && entry.UsedAt(state.Now) > 0)
                Note(entry);
        }

        Tell(decision);
    }

    /// <summary>Warnings that follow from what was booked.</summary>
    internal void Tell(Decision decision)
    {
        while (booked.Count > 0)
        {
            var entry = booked[^1];
            booked.RemoveAt(booked.Count - 1);
            entry.Booked = false;
            if (!entry.IsConsumed || entry.UsedAt(state.Now) is var used && used < entry.SoftAmount || entry.Limit is not { } limit)
                continue;
            if (used > 0 && !entry.Balance.Warned)
            {
                var resets = ResetOf(entry);
                decision.Raise(entry.Key, null, 0, new AllowanceWarning(limit.Unit, limit.Amount, used, entry.Balance.Reserved, limit.SoftPercent, resets, ExhaustionOf(entry, used, resets)));
            }

            if (used >= limit.Amount)
            {
                TellExceeded(decision, entry);
                if (limit.OnExceed == OnExceed.Pause)
                    pausing.Add(entry);
            }
        }
    }

    /// <summary>Says, once in a window, that the limit binds.</summary>
    internal void TellExceeded(Decision decision, BalanceEntry entry)
    {
        if (entry.Limit is not { IsConsumed: true } limit || (entry.Balance.Exceeded && !IsOver(entry)))
            return;
        table.BeginWindow(decision, entry);
        var used = entry.UsedAt(state.Now);
        decision.Raise(entry.Key, null, 0, new AllowanceExceeded(limit.Unit, limit.Amount, used, entry.Balance.Reserved, Math.Max(0, used - limit.Amount), ResetOf(entry)));
    }

    private bool IsOver(BalanceEntry entry) => entry.Limit!.Window.IsCalendar && state.Now >= entry.Balance.WindowEnd;

    internal long? ResetOf(BalanceEntry entry) => entry.FreesAt(state.Now) is var at && at == long.MaxValue ? null : at;

    /// <summary>When it is used up if spending goes on as in the window so far; null when that is not before it is reset, or can't be said.</summary>
    internal long? ExhaustionOf(BalanceEntry entry, long used, long? resets)
    {
        if (entry.Limit is not { IsConsumed: true } limit || used <= 0)
            return null;
        if (used >= limit.Amount)
            return state.Now;

        // Of a rolling window it is the first of its steps that something was used in: once that leaves, as much leaves as comes.
        var since = limit.Window.IsCalendar ? entry.Balance.WindowStart
            : limit.Window.Kind == WindowKind.Rolling ? Math.Min(entry.FreesAt(state.Now) - limit.Window.RollingMs, state.Now) - limit.Window.StepMs
            : limit.CreatedAt;
        var elapsed = state.Now - since;
        if (elapsed <= 0)
            return null;
        var at = state.Now + ((double)(limit.Amount - used) * elapsed / used);
        return at >= (resets ?? 253_402_300_799_999d) ? null : (long)at;
    }

    /// <summary>Takes work back whose limit is used up: at the end of a batch, for what an agent reports done together counts as done.</summary>
    internal void Pause(Decision decision)
    {
        for (var i = 0; i < pausing.Count; i++)
        {
            if (pausing[i] is { Limit: { OnExceed: OnExceed.Pause } limit } entry && entry.UsedAt(state.Now) >= limit.Amount)
                Pause(decision, entry);
        }

        pausing.Clear();
    }

    private void Pause(Decision decision, BalanceEntry entry)
    {
        var running = state.Agents.All.SelectMany(agent => agent.Held)
            .Where(task => task.Task.Charge is { } charge && charge.Reserved.Contains(entry.Key)).OrderBy(task => task.Task.Number).ToList();
        foreach (var task in running)
        {
            if (task.Task.IsHeld)
                TaskEnding.HandBack(decision, task, $"paused: limit {entry.Key} is used up", revoke: true);
        }
    }
}
