using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Host.Http;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Allowances;

/// <summary>Reads limits that are set, what is asked before work is taken, and what was used.</summary>
internal static class AllowanceRequest
{
    /// <summary>The time zone of a window that names none.</summary>
    public const string Utc = "UTC";

    private const int MaxReportId = 128;

    private static readonly SearchValues<char> InId = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    private static readonly MemberNames OfLimit = new(
        "level", "target", "unit", "amount", "window", "model", "repo", "soft_percent", "on_exceed", "allow", "deny", "if_version");

    private static readonly MemberNames OfWindow = new("kind", "time_zone", "reset_hour", "reset_day", "rolling_ms");
    private static readonly MemberNames OfCheck = new("model", "repo", "estimate");
    private static readonly MemberNames OfUsage = new("id", "agent", "task_id", "attempt", "model", "repo", "usage");

    // Budgets of tasks come with their tasks.
    private static readonly string[] Levels = [.. AllowanceWord.All<LimitLevel>().Where(word => word != AllowanceWord.Of(LimitLevel.Task))];

    private static readonly string[] Consumed = [.. Enum.GetValues<LimitUnit>().Where(Limit.Consumes).Select(AllowanceWord.Of)];

    public static SetLimit ReadLimit(JsonBody body, string id)
    {
        var faults = new Faults();
        if (id.Length is 0 or > Limit.MaxId || id.AsSpan().ContainsAnyExcept(InId) || !char.IsAsciiLetterOrDigit(id[0]))
            faults.Add("id", $"must have 1 to {Limit.MaxId} of a-z, A-Z, 0-9, '.', '_' and '-', and begin with a letter or digit");
        var given = Members(body, OfLimit, "level, unit and amount", faults);
        var level = Word<LimitLevel>(given, "level", Levels, isRequired: true, faults);
        var target = Target(given, level, faults);
        var unit = Word<LimitUnit>(given, "unit", AllowanceWord.All<LimitUnit>(), isRequired: true, faults);
        var amount = Amount(given, unit, faults);
        var window = Window(given, unit, faults);
        var model = Text(given, "model", TaskLimits.MaxModel, faults);
        var repo = Text(given, "repo", TaskLimits.MaxName, faults);
        if (unit is LimitUnit.CooldownMs or LimitUnit.PullRequests or LimitUnit.Issues && !given.ContainsKey("repo"))
            faults.Add("repo", $"is required with unit {AllowanceWord.Of(unit.Value)}");
        var soft = given.TryGetValue("soft_percent", out var percent) ? (int)faults.Number(percent, "soft_percent", 1, 100) : Limit.DefaultSoftPercent;
        var exceed = Word<OnExceed>(given, "on_exceed", AllowanceWord.All<OnExceed>(), isRequired: false, faults);
        var (allow, deny) = (Models(given, "allow", unit, faults), Models(given, "deny", unit, faults));
        if (unit == LimitUnit.Models && !given.ContainsKey("allow") && !given.ContainsKey("deny"))
            faults.Add("allow", "is required with unit models, or deny is");
        var version = given.TryGetValue("if_version", out var known) ? (int?)faults.Number(known, "if_version", 0, int.MaxValue) : null;
        faults.ThrowIfAny();

        return new SetLimit(
            new Limit
            {
                Id = id,
                Level = level!.Value,
                Target = target,
                Unit = unit!.Value,
                Amount = amount,
                Window = window,
                Model = model,
                Repo = repo,
                SoftPercent = soft,
                OnExceed = exceed ?? OnExceed.Finish,
                Allow = allow,
                Deny = deny,
                Version = 0,
                CreatedAt = 0,
                UpdatedAt = 0,
                LastSequence = 0,
            },
            version);
    }

    /// <summary>What is asked about work before it is taken; null: nothing is said of it.</summary>
    public static TaskCost? ReadCheck(JsonBody body)
    {
        if (!body.HasRoot)
            return null;
        var faults = new Faults();
        var given = Members(body, OfCheck, "model, repo and estimate", faults);
        var model = Text(given, "model", TaskLimits.MaxModel, faults);
        var repo = Text(given, "repo", TaskLimits.MaxName, faults);
        if (given.TryGetValue("estimate", out var expected))
            faults.Estimate(expected, "estimate");
        faults.ThrowIfAny();

        var estimate = expected.ValueKind == JsonValueKind.Object ? Estimate.Read(expected) : Estimate.None;
        if (expected.ValueKind == JsonValueKind.Object && expected.TryGetProperty("model", out var named))
            model ??= named.GetString();
        return model is null && repo is null && estimate == Estimate.None ? null : new TaskCost(model, repo, default, estimate);
    }

    /// <param name="caller">The agent that reports; null for an admin, who says whose usage it is.</param>
    public static ReportUsage ReadUsage(JsonBody body, string? caller)
    {
        var faults = new Faults();
        var given = Members(body, OfUsage, "id and usage", faults);
        var id = Text(given, "id", MaxReportId, faults, isRequired: true);
        var agent = given.TryGetValue("agent", out var named) ? faults.Name(named, "agent") : caller;
        if (agent is null && !given.ContainsKey("agent"))
            faults.Add("agent", "is required of an admin: whose usage it is");
        var task = given.TryGetValue("task_id", out var about) ? faults.Id(about, "task_id") : null;
        var attempt = given.TryGetValue("attempt", out var number) ? (int?)faults.Number(number, "attempt", 1, int.MaxValue) : null;
        if (attempt is not null && !given.ContainsKey("task_id"))
            faults.Add("attempt", "goes with task_id only");
        var model = Text(given, "model", TaskLimits.MaxModel, faults);
        var repo = Text(given, "repo", TaskLimits.MaxName, faults);
        JsonBytes? usage = null;
        if (given.TryGetValue("usage", out var used))
            usage = faults.Usage(used, "usage");
        else
            faults.Add("usage", "is required");
        faults.ThrowIfAny();
        return new ReportUsage(id!, agent!, task, attempt, model, repo, usage!, new UsageFacts(0, null, null));
    }

    /// <summary>Which limits to list.</summary>
    public static ListLimits ReadList(HttpContext http)
    {
        var request = http.Request;
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var query = new ListLimits(
            TaskQueryReader.Name(request, "cursor", faults),
            (int)QueryValue.Number(request, "limit", 1, TaskQueryReader.MaxLimit, TaskQueryReader.DefaultLimit, faults),
            QueryWord<LimitLevel>(request, "level", Levels, faults),
            TaskQueryReader.Name(request, "target", faults),
            QueryWord<LimitUnit>(request, "unit", AllowanceWord.All<LimitUnit>(), faults));
        faults.ThrowIfAny();
        return query;
    }

    /// <summary>Which entries of a limit's ledger.</summary>
    public static LedgerQuery ReadLedger(HttpContext http, string limit)
    {
        var request = http.Request;
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var query = new LedgerQuery(
            limit, TaskQueryReader.Name(request, "target", faults), LedgerCursor(request, faults),
            (int)QueryValue.Number(request, "limit", 1, TaskQueryReader.MaxLimit, TaskQueryReader.DefaultLimit, faults));
        faults.ThrowIfAny();
        return query;
    }

    /// <summary>Where the page ends, as the next one's cursor.</summary>
    public static string CursorOf(LedgerPlace place) => string.Create(CultureInfo.InvariantCulture, $"{place.Number}.{place.Attempt}.{place.Item}");

    private static LedgerPlace LedgerCursor(HttpRequest request, Faults faults)
    {
        if (request.Query["cursor"] is not { Count: > 0 } text)
            return LedgerPlace.Start;
        var parts = text.ToString().Split('.');
        if (parts.Length == 3 && long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var attempt)
            && int.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var item))
        {
            return new LedgerPlace(number, attempt, item);
        }

        faults.Add("cursor", "must be taken from a Link header");
        return LedgerPlace.Start;
    }

    /// <summary>How many of the top spenders, and of which unit.</summary>
    public static ReadTopSpenders ReadSpending(HttpContext http)
    {
        const int Most = 20;
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var query = new ReadTopSpenders(
            (int)QueryValue.Number(http.Request, "limit", 1, TaskQueryReader.MaxLimit, Most, faults), QueryWord<LimitUnit>(http.Request, "unit", Consumed, faults));
        faults.ThrowIfAny();
        return query;
    }

    private static Dictionary<string, JsonElement> Members(JsonBody body, MemberNames known, string expected, Faults faults)
    {
        if (body.HasRoot && body.Root.ValueKind == JsonValueKind.Object)
            return Members(body.Root, known, "", faults);
        faults.Add("body", $"must be a JSON object with {expected}");
        faults.ThrowIfAny();
        return [];
    }

    /// <summary>Those that are known; others are faults. Null says "none".</summary>
    private static Dictionary<string, JsonElement> Members(JsonElement from, MemberNames known, string prefix, Faults faults)
    {
        var given = new Dictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var member in from.EnumerateObject())
        {
            var name = known.Of(member);
            if (!known.Has(name))
                faults.Unknown(prefix + name, known.All.Select(one => prefix + one));
            else if (member.Value.ValueKind != JsonValueKind.Null)
                given[name] = member.Value;
        }

        return given;
    }

    private static string Target(Dictionary<string, JsonElement> given, LimitLevel? level, Faults faults)
    {
        if (!given.TryGetValue("target", out var value))
        {
            if (level is LimitLevel.Agent or LimitLevel.Owner or LimitLevel.Team)
                faults.Add("target", $"is required with level {AllowanceWord.Of(level.Value)}: whose limit it is, or * for each that has none of its own");
            return "";
        }

        if (level == LimitLevel.Swarm)
            faults.Add("target", "goes with level agent, owner and team: there is one swarm", value);
        return (level == LimitLevel.Agent ? faults.Name(value, "target") : faults.Text(value, "target", TaskLimits.MaxName)) ?? "";
    }

    private static long Amount(Dictionary<string, JsonElement> given, LimitUnit? unit, Faults faults)
    {
        if (!given.TryGetValue("amount", out var value))
        {
            if (unit is not null and not LimitUnit.Models)
                faults.Add("amount", "is required");
            return 0;
        }

        if (unit == LimitUnit.Models)
            faults.Add("amount", "does not go with unit models: give allow or deny", value);
        return faults.Number(value, "amount", 0, Limit.MaxAmount);
    }

    private static LimitWindow Window(Dictionary<string, JsonElement> given, LimitUnit? unit, Faults faults)
    {
        if (!given.TryGetValue("window", out var value))
            return LimitWindow.Lifetime;
        if (unit is { } counted && !Limit.Consumes(counted))
            faults.Add("window", $"goes with what is used up only: {string.Join(", ", Consumed)}");
        if (value.ValueKind != JsonValueKind.Object)
        {
            faults.Add("window", "must be a JSON object with kind", value);
            return LimitWindow.Lifetime;
        }

        var members = Members(value, OfWindow, "window.", faults);
        var kind = Word<WindowKind>(members, "kind", AllowanceWord.All<WindowKind>(), isRequired: true, faults, "window.");
        var zone = Fitting(members, "time_zone", kind is null or WindowKind.Hour or WindowKind.Day or WindowKind.Week or WindowKind.Month, "hour, day, week and month", faults);
        var hour = Fitting(members, "reset_hour", kind is null or WindowKind.Day or WindowKind.Week or WindowKind.Month, "day, week and month", faults);
        var day = Fitting(members, "reset_day", kind is null or WindowKind.Week or WindowKind.Month, "week and month", faults);
        var rolling = Fitting(members, "rolling_ms", kind is null or WindowKind.Rolling, "rolling", faults);
        if (kind == WindowKind.Rolling && rolling is null && !members.ContainsKey("rolling_ms"))
            faults.Add("window.rolling_ms", "is required with kind rolling");
        return new LimitWindow(
            kind ?? WindowKind.Lifetime,
            zone is { } name ? TimeZone(name, faults) : null,
            hour is { } at ? (int)faults.Number(at, "window.reset_hour", 0, 23) : 0,
            day is { } on ? (int)faults.Number(on, "window.reset_day", 1, kind == WindowKind.Week ? 7 : 31) : 1,
            rolling is { } length ? faults.Number(length, "window.rolling_ms", Limit.MinRollingMs, Limit.MaxRollingMs) : 0);
    }

    /// <summary>A member of a window, if it is given and the window's kind takes it.</summary>
    private static JsonElement? Fitting(Dictionary<string, JsonElement> given, string name, bool fits, string kinds, Faults faults)
    {
        if (!given.TryGetValue(name, out var value))
            return null;
        if (fits)
            return value;
        faults.Add($"window.{name}", $"goes with kind {kinds} only", value);
        return null;
    }

    private static string? TimeZone(JsonElement value, Faults faults)
    {
        var name = faults.Text(value, "window.time_zone", TaskLimits.MaxName);
        if (name is null or Utc)
            return null;
        if (TimeZoneInfo.TryFindSystemTimeZoneById(name, out var zone) && zone.HasIanaId)
            return name;
        faults.Add("window.time_zone", "is no time zone that the broker's machine knows; give an IANA name, as Europe/Berlin", value);
        return null;
    }

    private static string[] Models(Dictionary<string, JsonElement> given, string field, LimitUnit? unit, Faults faults)
    {
        if (!given.TryGetValue(field, out var value))
            return [];
        if (unit is not null and not LimitUnit.Models)
            faults.Add(field, "goes with unit models only");
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() is 0 or > Limit.MaxModels)
        {
            faults.Add(field, $"must be an array of 1 to {Limit.MaxModels} models, exact or with * at the end");
            return [];
        }

        var models = new List<string>();
        var index = 0;
        foreach (var item in value.EnumerateArray())
        {
            if (faults.Text(item, $"{field}[{index++}]", TaskLimits.MaxModel) is { } model && !models.Contains(model, StringComparer.Ordinal))
                models.Add(model);
        }

        return [.. models];
    }

    private static string? Text(Dictionary<string, JsonElement> given, string field, int max, Faults faults, bool isRequired = false)
    {
        if (given.TryGetValue(field, out var value))
            return faults.Text(value, field, max);
        if (isRequired)
            faults.Add(field, "is required");
        return null;
    }

    private static T? Word<T>(Dictionary<string, JsonElement> given, string name, IReadOnlyList<string> known, bool isRequired, Faults faults, string prefix = "")
        where T : struct, Enum
    {
        if (!given.TryGetValue(name, out var value))
        {
            if (isRequired)
                faults.Add(prefix + name, $"is required: one of {string.Join(", ", known)}");
            return null;
        }

        if (value.ValueKind == JsonValueKind.String && value.GetString() is { } word && known.Contains(word, StringComparer.Ordinal))
            return AllowanceWord.Find<T>(word);
        faults.Add(prefix + name, $"must be one of {string.Join(", ", known)}", value);
        return null;
    }

    private static T? QueryWord<T>(HttpRequest request, string name, IReadOnlyList<string> known, Faults faults)
        where T : struct, Enum
    {
        if (TaskQueryReader.Name(request, name, faults) is not { } word)
            return null;
        if (known.Contains(word, StringComparer.Ordinal))
            return AllowanceWord.Find<T>(word);
        faults.Add(name, $"must be one of {string.Join(", ", known)}");
        return null;
    }
}
