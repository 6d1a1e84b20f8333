using System.Text.Json;
using Dispatch.Allowances;

namespace Dispatch.Storage.Rows;

/// <summary>Limits, their balances and usage reports to and from their rows.</summary>
internal static class AllowanceRows
{
    internal const string LimitColumns =
        "id, level, target, unit, amount, time_window, model, repo, soft_percent, on_exceed, allow, deny, version, created_at, updated_at, last_sequence";

    internal const string BalanceColumns = "key, limit_id, target, used, window_start, window_end, steps, cooldown_until, warned, exceeded, sequence";

    /// <summary>Key in <c>meta</c> of the sequence up to which all balances are written; absent while all of them are as of the last event.</summary>
    internal const string Mark = "balances_written";

    internal const string UsageColumns = "reporter, id, hash, sequence";

    internal static void Bind(IRowParameters row, Limit limit, JsonText json)
    {
        row.Bind(1, limit.Id);
        row.BindText(2, Words.Level.Word((int)limit.Level));
        row.Bind(3, limit.Target);
        row.BindText(4, Words.Unit.Word((int)limit.Unit));
        row.Bind(5, limit.Amount);
        JsonSerializer.Serialize(json.Start(), limit.Window, RowJson.Default.LimitWindow);
        row.BindText(6, json.End());
        row.Bind(7, limit.Model);
        row.Bind(8, limit.Repo);
        row.Bind(9, (long)limit.SoftPercent);
        row.BindText(10, Words.Exceed.Word((int)limit.OnExceed));
        BindList(row, 11, limit.Allow, json);
        BindList(row, 12, limit.Deny, json);
        row.Bind(13, (long)limit.Version);
        row.Bind(14, limit.CreatedAt);
        row.Bind(15, limit.UpdatedAt);
        row.Bind(16, limit.LastSequence);
    }

    internal static Limit ReadLimit(IStoredRow row) => new()
    {
        Id = row.Text(0),
        Level = Words.Level.Parse(row.Utf8(1)),
        Target = row.Text(2),
        Unit = Words.Unit.Parse(row.Utf8(3)),
        Amount = row.Int64(4),
        Window = JsonSerializer.Deserialize(row.Utf8(5), RowJson.Default.LimitWindow)!,
        Model = row.NullableText(6),
        Repo = row.NullableText(7),
        SoftPercent = row.Int32(8),
        OnExceed = Words.Exceed.Parse(row.Utf8(9)),
        Allow = RowTexts.Strings(row.Utf8(10)),
        Deny = RowTexts.Strings(row.Utf8(11)),
        Version = row.Int32(12),
        CreatedAt = row.Int64(13),
        UpdatedAt = row.Int64(14),
        LastSequence = row.Int64(15),
    };

    internal static void Bind(IRowParameters row, WrittenBalance written, JsonText json)
    {
        var balance = written.Balance;
        row.Bind(1, balance.Key);
        row.Bind(2, balance.Limit);
        row.Bind(3, balance.Target);
        row.Bind(4, balance.Used);
        row.Bind(5, balance.WindowStart);
        row.Bind(6, balance.WindowEnd);
        if (balance.Steps.Count > 0)
        {
            JsonSerializer.Serialize(json.Start(), balance.Steps, RowJson.Default.IReadOnlyListRollingStep);
            row.BindText(7, json.End());
        }

        row.Bind(8, balance.CooldownUntil);
        row.Bind(9, balance.Warned);
        row.Bind(10, balance.Exceeded);
        row.Bind(11, written.AsOf);
    }

    internal static WrittenBalance ReadBalance(IStoredRow row) => new(new LimitBalance
    {
        Key = row.Text(0),
        Limit = row.Text(1),
        Target = row.Text(2),
        Used = row.Int64(3),
        WindowStart = row.Int64(4),
        WindowEnd = row.Int64(5),
        Steps = row.Utf8(6) is { Length: > 0 } steps ? JsonSerializer.Deserialize(steps, RowJson.Default.IReadOnlyListRollingStep)! : [],
        CooldownUntil = row.Int64(7),
        Warned = row.Boolean(8),
        Exceeded = row.Boolean(9),
    }, row.Int64(10));

    internal static void Bind(IRowParameters row, UsageRow usage)
    {
        row.Bind(1, usage.Reporter);
        row.Bind(2, usage.Id);
        row.Bind(3, usage.Hash);
        row.Bind(4, usage.Sequence);
    }

    internal static UsageRow ReadUsage(IStoredRow row) => new(row.Text(0), row.Text(1), row.Text(2), row.Int64(3));

    private static void BindList(IRowParameters row, int at, string[] list, JsonText json)
    {
        if (list.Length == 0)
            return;
        JsonSerializer.Serialize(json.Start(), list, RowJson.Default.StringArray);
        row.BindText(at, json.End());
    }
}
