using System.Globalization;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Extensions;

namespace Dispatch.Host.Http;

/// <summary>Reads the filters of a list of tasks.</summary>
internal static class TaskQueryReader
{
    public const int MaxLimit = 1_000;
    public const int DefaultLimit = 100;

    public static readonly string[] Known = ["status", "requester", "assignee", "scope", "owner", "parent_id", "label", "limit", "cursor"];

    private static readonly Dictionary<string, TaskState> States =
        Enum.GetValues<TaskState>().ToDictionary(TaskWriter.Word, state => state, StringComparer.Ordinal);

    /// <param name="visibleTo">Whose tasks only; null: everybody's.</param>
    public static TaskQuery Read(HttpContext http, string? visibleTo)
    {
        var request = http.Request;
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var query = new TaskQuery
        {
            Statuses = Statuses(request, faults),
            Requester = Name(request, "requester", faults),
            Assignee = Name(request, "assignee", faults),
            Scope = Name(request, "scope", faults),
            Owner = Name(request, "owner", faults),
            Parent = Parent(request, faults),
            Labels = Labels(request, faults),
            VisibleTo = visibleTo,
            Before = Cursor(request, faults),
            Limit = (int)QueryValue.Number(request, "limit", 1, MaxLimit, DefaultLimit, faults),
        };
        faults.ThrowIfAny();
        return query;
    }

    /// <summary>The path and query of the page that follows the entry with this number.</summary>
    public static string NextPage(HttpRequest request, long lastNumber) => NextPage(request, lastNumber.ToString(CultureInfo.InvariantCulture));

    /// <summary>The path and query of the page that begins where this cursor says.</summary>
    public static string NextPage(HttpRequest request, string cursor)
    {
        var query = new QueryBuilder();
        foreach (var (name, values) in request.Query)
        {
            if (name != "cursor")
                query.Add(name, values.Select(value => value ?? ""));
        }

        query.Add("cursor", cursor);
        return request.Path + query.ToString();
    }

    public static List<TaskState> Statuses(HttpRequest request, Faults faults)
    {
        var states = new List<TaskState>();
        foreach (var word in request.Query["status"].SelectMany(value => (value ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)))
        {
            if (States.TryGetValue(word, out var state))
                states.Add(state);
            else
                faults.Add("status", $"'{Excerpt.Of(word, 40)}' is no status; known are {string.Join(", ", States.Keys)}");
        }

        return states;
    }

    public static string? Name(HttpRequest request, string name, Faults faults)
    {
        var value = request.Query[name];
        if (value.Count == 0)
            return null;
        if (value.Count > 1 || value[0] is not { Length: > 0 and <= TaskLimits.MaxName } text)
        {
            faults.Add(name, $"must be given once, with 1 to {TaskLimits.MaxName} characters");
            return null;
        }

        return text;
    }

    private static TaskId? Parent(HttpRequest request, Faults faults)
    {
        if (Name(request, "parent_id", faults) is not { } text)
            return null;
        if (TaskId.TryParse(text, out var id))
            return id;
        faults.Add("parent_id", "must be a task id (a UUID)");
        return null;
    }

    private static List<string> Labels(HttpRequest request, Faults faults)
    {
        var labels = new List<string>();
        foreach (var label in request.Query["label"])
        {
            if (label is { Length: > 2 } && label.IndexOf('=', StringComparison.Ordinal) > 0)
                labels.Add(label);
            else
                faults.Add("label", "must be key=value");
        }

        return labels;
    }

    public static long? Cursor(HttpRequest request, Faults faults)
    {
        if (request.Query["cursor"] is not { Count: > 0 } text)
            return null;
        if (long.TryParse(text.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number > 0)
            return number;
        faults.Add("cursor", "must be taken from a Link header");
        return null;
    }
}

/// <summary>Reads values of the query string.</summary>
internal static class QueryValue
{
    /// <exception cref="ProblemException">It is no number in the range.</exception>
    public static long Number(HttpRequest request, string name, long min, long max, long otherwise)
    {
        var faults = new Faults();
        var number = Number(request, name, min, max, otherwise, faults);
        faults.ThrowIfAny();
        return number;
    }

    public static long Number(HttpRequest request, string name, long min, long max, long otherwise, Faults faults)
    {
        if (request.Query[name] is not { Count: > 0 } text)
            return otherwise;
        if (text.Count == 1 && long.TryParse(text.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= min && number <= max)
            return number;
        faults.Add(name, $"must be a whole number from {min} to {max}");
        return otherwise;
    }
}
