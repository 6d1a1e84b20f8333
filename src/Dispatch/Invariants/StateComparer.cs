using System.Globalization;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Invariants;

/// <summary>
/// Folds the log into a state of its own, by the same <see cref="State.Apply"/> that runs live, and compares what comes out with the
/// tables (I-14). The fold holds every task in memory, finished ones too; the tables are streamed past it.
/// </summary>
public sealed class StateComparer(StateOptions options, FindingList findings)
{
    private const int DrainEvery = 4_096;
    private const int MaxText = 200;

    private readonly State folded = new(options, live: false);
    private readonly Dictionary<long, List<EndedAttempt>> attempts = [];
    private readonly Dictionary<IdempotencyKey, IdempotencyRow> keys = [];
    private readonly Dictionary<(string, string), PublishedRow> published = [];
    private readonly Dictionary<(string, string), UsageRow> usage = [];
    private int undrained;

    /// <summary>False once an event could not be applied: there is nothing left to compare with.</summary>
    public bool IsWhole { get; private set; } = true;

    /// <summary>Rows looked at in the tables.</summary>
    public RowCounts Rows { get; private set; } = new(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

    internal State Folded => folded;

    /// <summary>Takes over a row of the base, before any event.</summary>
    public void Begin(BaseRow row)
    {
        if (!IsWhole)
            return;

        try
        {
            folded.Restore(row);
        }
        catch (ArgumentException twice)
        {
            IsWhole = false;
            findings.Add(new Finding.Unreadable("base", $"A row of the base can't be taken over: {twice.Message} The tables were not compared."));
            return;
        }

        if (row.Attempt is { } attempt)
            Keep(attempt);
        if (row.Key is { } key)
            keys[new IdempotencyKey(key.Caller, key.Key)] = key;
    }

    /// <summary>Takes the next event of the log.</summary>
    public void Fold(DispatchEvent happened)
    {
        if (!IsWhole)
            return;

        try
        {
            folded.Apply(happened);
        }
        catch (Exception broken) when (broken is InvalidOperationException or KeyNotFoundException or ArgumentException or IndexOutOfRangeException or NullReferenceException)
        {
            IsWhole = false;
            findings.Add(new Finding.Unreadable("log", $"Event {happened.Sequence} ({happened.Type}) can't be applied: {broken.Message} The tables were not compared."));
            return;
        }

        if (++undrained >= DrainEvery)
            Drain();
    }

    /// <summary>Compares every table with what the log made of it.</summary>
    /// <exception cref="StoreException">A row can't be read.</exception>
    public async Task CompareAsync(IStoreAudit store, IProgress<long>? progress, CancellationToken cancel)
    {
        if (!IsWhole)
            return;

        Drain();
        var loaded = await store.LoadAsync(cancel);
        CompareLoaded(loaded);
        var tasks = await CompareTasksAsync(store, progress, cancel);
        var ended = await CompareAttemptsAsync(store, cancel);
        var known = await CompareKeysAsync(store, cancel);
        var fromOutside = await ComparePublishedAsync(store, cancel);
        var reports = await CompareUsageAsync(store, cancel);
        Rows = new RowCounts(
            tasks, ended, known, loaded.Agents.Count, loaded.Tokens.Count, loaded.Sessions.Count, loaded.Publishers.Count, fromOutside, loaded.Webhooks.Count, loaded.Questions.Count,
            loaded.Limits.Count, loaded.Balances.Count, reports);
    }

    private void Drain()
    {
        undrained = 0;
        var batch = folded.TakeBatch([]);
        foreach (var attempt in batch.Attempts)
            Keep(attempt);

        foreach (var key in batch.Keys)
            keys[new IdempotencyKey(key.Caller, key.Key)] = key;
        foreach (var row in batch.Published)
            published[(row.Publisher, row.Id)] = row;
        foreach (var row in batch.Usage)
            usage[(row.Reporter, row.Id)] = row;
        if (batch.PrunedTasks.Count == 0)
            return;

        var gone = batch.PrunedTasks.ToHashSet();
        foreach (var number in gone)
            attempts.Remove(number);
        foreach (var key in keys.Values.Where(key => gone.Contains(key.TaskNumber)).ToList())
            keys.Remove(new IdempotencyKey(key.Caller, key.Key));
    }

    private void Keep(EndedAttempt attempt)
    {
        if (!attempts.TryGetValue(attempt.TaskNumber, out var list))
            attempts[attempt.TaskNumber] = list = [];
        list.Add(attempt);
    }

    /// <summary>What the broker would start from: the live tasks, and all of the small tables.</summary>
    private void CompareLoaded(LoadedState loaded)
    {
        CompareValue("meta", "log", "last_sequence", folded.Sequence, loaded.Sequence);
        CompareValue("meta", "log", "last_timestamp", folded.Now, loaded.Timestamp);
        CompareValue("meta", "log", "horizon", folded.Horizon, loaded.Horizon);
        foreach (var state in Enum.GetValues<TaskState>())
            CompareValue("totals", TaskEnding.Word(state), "count", folded.Tasks.Totals[(int)state], loaded.Totals[(int)state]);

        // The log's totals are counted by the same code that writes them; what there really is counts too.
        var counts = new long[loaded.Totals.Count];
        foreach (var entry in folded.Tasks.All)
            counts[(int)entry.Task.Status]++;
        foreach (var state in Enum.GetValues<TaskState>())
            CompareValue("totals", TaskEnding.Word(state), "tasks in this state", counts[(int)state], loaded.Totals[(int)state]);

        var live = folded.Tasks.All.Select(entry => entry.Task).Where(task => !task.IsFinal).OrderBy(task => task.Number);
        CompareAll("live tasks", live, loaded.Tasks, task => task.Number.ToString(CultureInfo.InvariantCulture), Columns.Task);
        CompareAll("agents", folded.Agents.All.Select(entry => entry.Agent), loaded.Agents, agent => agent.Id, Columns.Agent);
        CompareAll("tokens", folded.Tokens.All, loaded.Tokens, token => token.Id, Columns.Token);
        CompareAll("sessions", folded.Sessions.All, loaded.Sessions, session => session.Id, Columns.Session);
        CompareAll("publishers", folded.Publishers.All, loaded.Publishers, publisher => publisher.Id, Columns.Publisher);
        CompareAll("webhooks", folded.Webhooks.All, loaded.Webhooks, webhook => webhook.Id, Columns.Webhook);
        CompareAll("questions", folded.Questions.Open, loaded.Questions, question => question.Id, Columns.Question);
        CompareAll("responders", folded.Questions.Responders, loaded.Responders, responder => responder.Id, Columns.Responder);
        CompareAll("limits", folded.Allowances.Limits.Concat(folded.Allowances.Budgets), loaded.Limits, limit => limit.Id, Columns.Limit);
        CompareAll("balances", folded.Allowances.Balances, loaded.Balances, balance => balance.Key, Columns.Balance);
    }

    private async Task<long> CompareTasksAsync(IStoreAudit store, IProgress<long>? progress, CancellationToken cancel)
    {
        var expected = folded.Tasks.All.OrderBy(entry => entry.Task.Number).ToArray();
        var next = 0;
        long rows = 0;
        await foreach (var found in store.TasksAsync(cancel).WithCancellation(cancel))
        {
            if (++rows % DrainEvery == 0)
                progress?.Report(rows);
            var number = found.Task.Number;
            while (next < expected.Length && expected[next].Task.Number < number)
                Missing("tasks", TaskKey(expected[next++].Task.Number));
            if (next == expected.Length || expected[next].Task.Number > number)
            {
                Extra("tasks", TaskKey(number));
                continue;
            }

            var entry = expected[next++];
            Compare("tasks", TaskKey(number), entry.Task, found.Task, Columns.Task);
            Compare("tasks", TaskKey(number), entry.Spec!, found.Spec, Columns.Spec);
            var result = attempts.GetValueOrDefault(number)?.FindLast(attempt => attempt.Outcome == AttemptOutcome.Completed)?.Result;
            CompareValue("tasks", TaskKey(number), "result", result, found.Result);
        }

        while (next < expected.Length)
            Missing("tasks", TaskKey(expected[next++].Task.Number));
        return rows;
    }

    private async Task<long> CompareAttemptsAsync(IStoreAudit store, CancellationToken cancel)
    {
        var left = attempts.Sum(task => task.Value.Count);
        long rows = 0;
        var seen = new HashSet<(long, int)>();
        await foreach (var found in store.AttemptsAsync(cancel).WithCancellation(cancel))
        {
            rows++;
            var key = $"{found.TaskNumber}/{found.Attempt}";
            var expected = attempts.GetValueOrDefault(found.TaskNumber)?.Find(attempt => attempt.Attempt == found.Attempt);
            if (expected is null || !seen.Add((found.TaskNumber, found.Attempt)))
            {
                Extra("attempts", key);
                continue;
            }

            left--;
            Compare("attempts", key, expected, found, Columns.Attempt);
        }

        if (left == 0)
            return rows;
        foreach (var missing in attempts.Values.SelectMany(list => list).Where(attempt => !seen.Contains((attempt.TaskNumber, attempt.Attempt))))
            Missing("attempts", $"{missing.TaskNumber}/{missing.Attempt}");
        return rows;
    }

    private async Task<long> CompareKeysAsync(IStoreAudit store, CancellationToken cancel)
    {
        var seen = new HashSet<IdempotencyKey>();
        long rows = 0;
        await foreach (var found in store.KeysAsync(cancel).WithCancellation(cancel))
        {
            rows++;
            var key = new IdempotencyKey(found.Caller, found.Key);
            if (!keys.TryGetValue(key, out var expected) || !seen.Add(key))
                Extra("idempotency", $"{found.Caller}/{found.Key}");
            else
                Compare("idempotency", $"{found.Caller}/{found.Key}", expected, found, Columns.Key);
        }

        if (seen.Count < keys.Count)
        {
            foreach (var missing in keys.Keys.Where(key => !seen.Contains(key)))
                Missing("idempotency", $"{missing.Caller}/{missing.Key}");
        }

        return rows;
    }

    private async Task<long> ComparePublishedAsync(IStoreAudit store, CancellationToken cancel)
    {
        var left = published.Values.Where(row => row.Sequence >= folded.Horizon).Select(row => (row.Publisher, row.Id)).ToHashSet();
        long rows = 0;
        await foreach (var found in store.PublishedAsync(cancel).WithCancellation(cancel))
        {
            rows++;
            if (left.Remove((found.Publisher, found.Id)))
                Compare("published", $"{found.Publisher}/{found.Id}", published[(found.Publisher, found.Id)], found, Columns.Published);
            else
                Extra("published", $"{found.Publisher}/{found.Id}");
        }

        foreach (var (publisher, id) in left)
            Missing("published", $"{publisher}/{id}");
        return rows;
    }

    private async Task<long> CompareUsageAsync(IStoreAudit store, CancellationToken cancel)
    {
        var left = usage.Values.Where(row => row.Sequence >= folded.Horizon).Select(row => (row.Reporter, row.Id)).ToHashSet();
        long rows = 0;
        await foreach (var found in store.UsageAsync(cancel).WithCancellation(cancel))
        {
            rows++;
            if (left.Remove((found.Reporter, found.Id)))
                Compare("usage_reports", $"{found.Reporter}/{found.Id}", usage[(found.Reporter, found.Id)], found, Columns.Usage);
            else
                Extra("usage_reports", $"{found.Reporter}/{found.Id}");
        }

        foreach (var (reporter, id) in left)
            Missing("usage_reports", $"{reporter}/{id}");
        return rows;
    }

    private void CompareAll<T>(string table, IEnumerable<T> expected, IEnumerable<T> found, Func<T, string> key, Column<T>[] columns)
    {
        var rows = new Dictionary<string, T>(StringComparer.Ordinal);
        foreach (var row in found)
        {
            if (!rows.TryAdd(key(row), row))
                Extra(table, key(row));
        }

        foreach (var row in expected)
        {
            if (rows.Remove(key(row), out var stored))
                Compare(table, key(row), row, stored, columns);
            else
                Missing(table, key(row));
        }

        foreach (var extra in rows.Keys)
            Extra(table, extra);
    }

    private void Compare<T>(string table, string key, T expected, T found, Column<T>[] columns)
    {
        foreach (var column in columns)
            CompareValue(table, key, column.Name, column.Read(expected), column.Read(found));
    }

    private void CompareValue(string table, string key, string column, object? expected, object? found)
    {
        if (!Equals(expected, found))
            findings.Add(new Finding.InTable(table, key, column, Text(expected), Text(found)));
    }

    private void Missing(string table, string key) => findings.Add(new Finding.InTable(table, key, "*", "a row", "none"));

    private void Extra(string table, string key) => findings.Add(new Finding.InTable(table, key, "*", "no such row", "one"));

    private string TaskKey(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Text(object? value)
    {
        var text = value is null ? "nothing" : Convert.ToString(value, CultureInfo.InvariantCulture)!.Replace('\u001f', ' ');
        return text.Length <= MaxText ? text : text[..MaxText] + "...";
    }
}

/// <summary>Rows of each table that were compared.</summary>
public sealed record RowCounts(long Tasks, long Attempts, long Keys, long Agents, long Tokens, long Sessions, long Publishers, long Published, long Webhooks, long Questions, long Limits, long Balances,
    long Usage);
