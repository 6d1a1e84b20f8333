using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Host.Http;

namespace Dispatch.Host.Allowances;

/// <summary>Writes limits, and how they stand, as callers see them.</summary>
internal static class AllowanceWriter
{
    public static void Write(Utf8JsonWriter json, Limit limit)
    {
        json.WriteStartObject();
        WriteMembers(json, limit);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, IReadOnlyList<Limit> limits)
    {
        json.WriteStartArray();
        foreach (var limit in limits)
            Write(json, limit);
        json.WriteEndArray();
    }

    public static void Write(Utf8JsonWriter json, (Limit Limit, IReadOnlyList<LimitStanding> Standings) read)
    {
        json.WriteStartObject();
        WriteMembers(json, read.Limit);
        WriteStandings(json, "standings"u8, read.Standings);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, IReadOnlyList<LimitStanding> standings)
    {
        json.WriteStartArray();
        foreach (var standing in standings)
            Write(json, standing);
        json.WriteEndArray();
    }

    public static void Write(Utf8JsonWriter json, AgentAllowance allowance)
    {
        json.WriteStartObject();
        json.WriteString("agent"u8, allowance.Agent);
        TaskWriter.Text(json, "owner"u8, allowance.Owner);
        TaskWriter.Text(json, "team"u8, allowance.Team);
        json.WriteBoolean("registered"u8, allowance.IsRegistered);
        WriteStandings(json, "limits"u8, allowance.Limits);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, AllowanceAnswer answer)
    {
        json.WriteStartObject();
        json.WriteBoolean("allowed"u8, answer.Allowed);
        if (answer.Refusal is { } refusal)
        {
            json.WriteStartObject("refusal"u8);
            json.WriteString("limit"u8, refusal.Standing.Limit.Id);
            json.WriteString("key"u8, refusal.Standing.Key);
            json.WriteNumber("needed"u8, refusal.Needed);
            json.WriteNumber("remaining"u8, refusal.Standing.Remaining);
            TaskWriter.Time(json, "frees_at"u8, refusal.FreesAt ?? 0);
            json.WriteString("message"u8, refusal.Message);
            json.WriteEndObject();
        }

        WriteStandings(json, "limits"u8, answer.Limits);
        json.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter json, IReadOnlyList<LedgerEntry> entries)
    {
        json.WriteStartArray();
        foreach (var entry in entries)
        {
            json.WriteStartObject();
            if (entry.Task is { } task)
                json.WriteString("task_id"u8, task.Value);
            if (entry.Attempt is { } attempt)
                json.WriteNumber("attempt"u8, attempt);
            json.WriteString("agent"u8, entry.Agent);
            if (entry.Outcome is { } outcome)
                json.WriteString("outcome"u8, TaskWriter.Word(outcome));
            TaskWriter.Time(json, "at"u8, entry.At);
            json.WriteString("key"u8, entry.Key);
            json.WriteNumber("reserved"u8, entry.Reserved);
            json.WriteNumber("spent"u8, entry.Spent);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteMembers(Utf8JsonWriter json, Limit limit)
    {
        json.WriteString("id"u8, limit.Id);
        json.WriteString("level"u8, AllowanceWord.Of(limit.Level));
        if (limit.Level != LimitLevel.Swarm)
            json.WriteString("target"u8, limit.Target);
        json.WriteString("unit"u8, AllowanceWord.Of(limit.Unit));
        if (limit.Unit != LimitUnit.Models)
            json.WriteNumber("amount"u8, limit.Amount);
        if (limit.IsConsumed)
            WriteWindow(json, limit.Window);
        TaskWriter.Text(json, "model"u8, limit.Model);
        TaskWriter.Text(json, "repo"u8, limit.Repo);
        json.WriteNumber("soft_percent"u8, limit.SoftPercent);
        json.WriteString("on_exceed"u8, AllowanceWord.Of(limit.OnExceed));
        if (limit.Allow.Length > 0)
            TaskWriter.Texts(json, "allow"u8, limit.Allow);
        if (limit.Deny.Length > 0)
            TaskWriter.Texts(json, "deny"u8, limit.Deny);
        json.WriteNumber("version"u8, limit.Version);
        TaskWriter.Time(json, "created_at"u8, limit.CreatedAt);
        TaskWriter.Time(json, "updated_at"u8, limit.UpdatedAt);
    }

    // As far as it says something: sent back like this, it changes nothing.
    private static void WriteWindow(Utf8JsonWriter json, LimitWindow window)
    {
        json.WriteStartObject("window"u8);
        json.WriteString("kind"u8, AllowanceWord.Of(window.Kind));
        if (window.IsCalendar)
            json.WriteString("time_zone"u8, window.TimeZone ?? AllowanceRequest.Utc);
        if (window.Kind is WindowKind.Day or WindowKind.Week or WindowKind.Month)
            json.WriteNumber("reset_hour"u8, window.ResetHour);
        if (window.Kind is WindowKind.Week or WindowKind.Month)
            json.WriteNumber("reset_day"u8, window.ResetDay);
        if (window.Kind == WindowKind.Rolling)
            json.WriteNumber("rolling_ms"u8, window.RollingMs);
        json.WriteEndObject();
    }

    private static void WriteStandings(Utf8JsonWriter json, ReadOnlySpan<byte> name, IReadOnlyList<LimitStanding> standings)
    {
        json.WritePropertyName(name);
        Write(json, standings);
    }

    private static void Write(Utf8JsonWriter json, LimitStanding standing)
    {
        json.WriteStartObject();
        json.WritePropertyName("limit"u8);
        Write(json, standing.Limit);
        json.WriteString("key"u8, standing.Key);
        json.WriteString("target"u8, standing.Target);
        json.WriteString("state"u8, AllowanceWord.Of(standing.State));
        json.WriteNumber("used"u8, standing.Used);
        json.WriteNumber("reserved"u8, standing.Reserved);
        json.WriteNumber("remaining"u8, standing.Remaining);
        json.WriteNumber("overshoot"u8, standing.Overshoot);
        TaskWriter.Time(json, "window_start"u8, standing.WindowStart ?? 0);
        TaskWriter.Time(json, "resets_at"u8, standing.ResetsAt ?? 0);
        TaskWriter.Time(json, "exhausted_at"u8, standing.ExhaustedAt ?? 0);
        TaskWriter.Time(json, "cooldown_until"u8, standing.CooldownUntil ?? 0);
        json.WriteEndObject();
    }
}

/// <summary>The words in which levels, units and the like are written.</summary>
internal static class AllowanceWord
{
    public static string Of<T>(T value)
        where T : struct, Enum => Known<T>.Words[Convert.ToInt32(value, System.Globalization.CultureInfo.InvariantCulture)];

    public static IReadOnlyList<string> All<T>()
        where T : struct, Enum => Known<T>.Words;

    public static T? Find<T>(string word)
        where T : struct, Enum => Array.IndexOf(Known<T>.Words, word) is >= 0 and var at ? Enum.GetValues<T>()[at] : null;

    private static class Known<T>
        where T : struct, Enum
    {
        public static readonly string[] Words = [.. Enum.GetNames<T>().Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)];
    }
}
