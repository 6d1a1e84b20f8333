using System.Text.Json;
using Dispatch.Events;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>Reads workers' reports, from bodies of their own and from exchanges.</summary>
internal static class ReportReader
{
    public const string Header = "X-Task-Attempt";

    private static readonly string[] Outcomes = ["started", "progress", "completed", "failed", "released"];

    /// <summary>The attempt in the header, for reports whose body does not say.</summary>
    public static int? AttemptHeader(HttpRequest request, Faults faults)
    {
        if (request.Headers[Header] is not { Count: > 0 } text)
            return null;
        if (int.TryParse(text.ToString(), out var attempt) && attempt > 0)
            return attempt;
        faults.Add(Header, "must be a whole number from 1");
        return null;
    }

    public static TaskReport Started(JsonElement? body, TaskId id, int? attempt, Faults faults)
    {
        Read(body, "", attempt, faults, [], out var members);
        return new TaskReport.Started(id, members.Attempt);
    }

    public static TaskReport Progress(JsonElement? body, TaskId id, int? attempt, Faults faults)
    {
        Read(body, "", attempt, faults, ["percent", "message", "data"], out var members);
        return new TaskReport.Progressed(id, members.Attempt, members.Percent, members.Message, members.Data);
    }

    public static TaskReport Completed(JsonElement? body, TaskId id, int? attempt, Faults faults)
    {
        Read(body, "", attempt, faults, ["result", "usage"], out var members);
        return new TaskReport.Completed(id, members.Attempt, members.Result, members.Usage);
    }

    public static TaskReport Failed(JsonElement? body, TaskId id, int? attempt, Faults faults)
    {
        Read(body, "", attempt, faults, ["error", "retryable", "retry_after_ms", "usage"], out var members);
        if (members.Error is null && faults.Count == 0)
            faults.Add("error", "is required");
        return new TaskReport.Failed(id, members.Attempt, members.Error ?? "", members.Retryable, members.RetryAfterMs, members.Usage);
    }

    public static TaskReport Released(JsonElement? body, TaskId id, int? attempt, Faults faults)
    {
        Read(body, "", attempt, faults, ["reason"], out var members);
        return new TaskReport.Released(id, members.Attempt, members.Reason);
    }

    /// <summary>One of an exchange's reports.</summary>
    public static TaskReport FromExchange(JsonElement report, int index, Faults faults)
    {
        var path = $"reports[{index}]";
        if (report.ValueKind != JsonValueKind.Object)
        {
            faults.Add(path, "must be a JSON object", report);
            return new TaskReport.Started(default, null);
        }

        TaskId? id = null;
        string? outcome = null;
        if (report.TryGetProperty("task_id", out var idValue))
            id = faults.Id(idValue, $"{path}.task_id");
        else
            faults.Add($"{path}.task_id", "is required");
        if (report.TryGetProperty("outcome", out var word) && word.ValueKind == JsonValueKind.String)
            outcome = word.GetString();

        string[]? allowed = outcome switch
        {
            "started" => [],
            "progress" => ["percent", "message", "data"],
            "completed" => ["result", "usage"],
            "failed" => ["error", "retryable", "retry_after_ms", "usage"],
            "released" => ["reason"],
            _ => null,
        };
        if (allowed is null)
        {
            faults.Add($"{path}.outcome", $"must be one of {string.Join(", ", Outcomes)}", word.ValueKind == JsonValueKind.Undefined ? null : word);
            return new TaskReport.Started(default, null);
        }

        Read(report, path + ".", null, faults, ["task_id", "outcome", .. allowed], out var members);
        if (outcome == "failed" && members.Error is null && !report.TryGetProperty("error", out _))
            faults.Add($"{path}.error", "is required");
        var task = id ?? default;
        return outcome switch
        {
            "started" => new TaskReport.Started(task, members.Attempt),
            "progress" => new TaskReport.Progressed(task, members.Attempt, members.Percent, members.Message, members.Data),
            "completed" => new TaskReport.Completed(task, members.Attempt, members.Result, members.Usage),
            "failed" => new TaskReport.Failed(task, members.Attempt, members.Error ?? "", members.Retryable, members.RetryAfterMs, members.Usage),
            _ => new TaskReport.Released(task, members.Attempt, members.Reason),
        };
    }

    private static void Read(JsonElement? body, string prefix, int? attempt, Faults faults, ReadOnlySpan<string> allowed, out Members members)
    {
        members = new Members { Attempt = attempt, Retryable = true };
        if (body is not { } root)
            return;
        if (root.ValueKind != JsonValueKind.Object)
        {
            faults.Add("body", "must be a JSON object", root);
            return;
        }

        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            if (member.Name != "attempt" && !allowed.Contains(member.Name))
            {
                Faults.Unknown(faults, prefix, member.Name, ["attempt", .. allowed]);
                continue;
            }

            if (value.ValueKind == JsonValueKind.Null)
                continue;

            var path = prefix + member.Name;
            switch (member.Name)
            {
                case "attempt":
                    members.Attempt = (int)faults.Number(value, path, 1, int.MaxValue);
                    break;
                case "percent":
                    if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var percent) && percent is >= 0 and <= 100)
                        members.Percent = percent;
                    else
                        faults.Add(path, "must be a number from 0 to 100", value);
                    break;
                case "message":
                    members.Message = faults.Text(value, path, TaskLimits.MaxMessage, multiline: true, allowEmpty: true);
                    break;
                case "reason":
                    members.Reason = faults.Text(value, path, TaskLimits.MaxMessage, multiline: true);
                    break;
                case "error":
                    members.Error = faults.Text(value, path, TaskLimits.MaxError, multiline: true);
                    break;
                case "data":
                    members.Data = faults.Object(value, path);
                    break;
                case "result":
                    members.Result = faults.Object(value, path);
                    break;
                case "usage":
                    members.Usage = faults.Usage(value, path);
                    break;
                case "retryable":
                    members.Retryable = faults.Flag(value, path);
                    break;
                case "retry_after_ms":
                    members.RetryAfterMs = faults.Number(value, path, 0, TaskLimits.MaxRetryAfterMs);
                    break;
            }
        }
    }

    private struct Members
    {
        public int? Attempt;
        public double? Percent;
        public string? Message;
        public string? Reason;
        public string? Error;
        public JsonBytes? Data;
        public JsonBytes? Result;
        public JsonBytes? Usage;
        public bool Retryable;
        public long? RetryAfterMs;
    }
}
