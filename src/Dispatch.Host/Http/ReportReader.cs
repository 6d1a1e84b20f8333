using System.Globalization;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>Reads one kind of worker's report, from a body of its own or from an exchange.</summary>
internal sealed class ReportReader
{
    public const string Header = "X-Task-Attempt";

    public static readonly ReportReader Started = new("started", static (task, said) => new TaskReport.Started(task, said.Attempt));

    public static readonly ReportReader Progress = new(
        "progress", static (task, said) => new TaskReport.Progressed(task, said.Attempt, said.Percent, said.Message, said.Data), "percent", "message", "data");

    public static readonly ReportReader Completed = new(
        "completed", static (task, said) => new TaskReport.Completed(task, said.Attempt, said.Result, said.Usage, said.Model), "result", "usage", "model");

    public static readonly ReportReader Failed = new(
        "failed", static (task, said) => new TaskReport.Failed(task, said.Attempt, said.Error ?? "", said.Retryable, said.RetryAfterMs, said.Usage, said.Model),
        "error", "retryable", "retry_after_ms", "usage", "model");

    public static readonly ReportReader Released = new("released", static (task, said) => new TaskReport.Released(task, said.Attempt, said.Reason), "reason");

    private static readonly ReportReader[] All = [Started, Progress, Completed, Failed, Released];

    private readonly string outcome;
    private readonly Func<TaskId, Members, TaskReport> make;
    private readonly MemberNames own;
    private readonly MemberNames inExchange;

    private ReportReader(string outcome, Func<TaskId, Members, TaskReport> make, params string[] members)
    {
        this.outcome = outcome;
        this.make = make;
        own = new MemberNames([.. members, "attempt"]);
        inExchange = new MemberNames([.. members, "attempt", "task_id", "outcome"]);
    }

    /// <summary>A report that has a route of its own.</summary>
    /// <param name="body">Null: nothing was sent, which says all that some reports have to say.</param>
    public TaskReport Read(JsonElement? body, HttpRequest request, TaskId task, Faults faults)
    {
        var said = new Members { Attempt = AttemptHeader(request, faults), Retryable = true };
        if (body is { ValueKind: not JsonValueKind.Object })
            faults.Add("body", "must be a JSON object");
        else
            ReadMembers(body, own, ref said, faults);
        return make(task, said);
    }

    /// <summary>One of an exchange's reports, whatever its kind.</summary>
    public static TaskReport FromExchange(JsonElement report, Faults faults)
    {
        if (report.ValueKind != JsonValueKind.Object)
        {
            faults.Add("", "must be a JSON object");
            return new TaskReport.Started(default, null);
        }

        TaskId? task = null;
        if (report.TryGetProperty("task_id", out var id))
            task = faults.Id(id, "task_id");
        else
            faults.Add("task_id", "is required");

        var kind = report.TryGetProperty("outcome", out var word) && word.ValueKind == JsonValueKind.String
            ? Array.Find(All, reader => word.ValueEquals(reader.outcome))
            : null;
        if (kind is null)
        {
            faults.Add("outcome", $"must be one of {string.Join(", ", All.Select(reader => reader.outcome))}", word);
            return new TaskReport.Started(default, null);
        }

        var said = new Members { Retryable = true };
        kind.ReadMembers(report, kind.inExchange, ref said, faults);
        return kind.make(task ?? default, said);
    }

    /// <summary>The attempt in the header, for reports whose body does not say.</summary>
    private static int? AttemptHeader(HttpRequest request, Faults faults)
    {
        if (request.Headers[Header] is not { Count: > 0 } text)
            return null;
        if (int.TryParse(text.ToString(), NumberStyles.None, CultureInfo.InvariantCulture, out var attempt) && attempt > 0)
            return attempt;
        faults.Add(Header, "must be a whole number from 1");
        return null;
    }

    private void ReadMembers(JsonElement? body, MemberNames known, ref Members said, Faults faults)
    {
        var failing = this == Failed;
        if (body is { } root)
        {
            foreach (var member in root.EnumerateObject())
            {
                var name = known.Of(member);
                if (!known.Has(name))
                {
                    faults.Unknown(name, known.All);
                    continue;
                }

                if (member.Value.ValueKind == JsonValueKind.Null)
                    continue;
                failing &= name != "error";
                ReadMember(name, member.Value, ref said, faults);
            }
        }

        if (failing)
            faults.Add("error", "is required");
    }

    private static void ReadMember(string name, JsonElement value, ref Members said, Faults faults)
    {
        switch (name)
        {
            case "attempt":
                said.Attempt = (int)faults.Number(value, name, 1, int.MaxValue);
                break;
            case "percent":
                if (value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var percent) && percent is >= 0 and <= 100)
                    said.Percent = percent;
                else
                    faults.Add(name, "must be a number from 0 to 100", value);
                break;
            case "message":
                said.Message = faults.Text(value, name, TaskLimits.MaxMessage, multiline: true, allowEmpty: true);
                break;
            case "reason":
                said.Reason = faults.Text(value, name, TaskLimits.MaxMessage, multiline: true);
                break;
            case "error":
                said.Error = faults.Text(value, name, TaskLimits.MaxError, multiline: true);
                break;
            case "data":
                said.Data = faults.Object(value, name);
                break;
            case "result":
                said.Result = faults.Object(value, name);
                break;
            case "usage":
                said.Usage = faults.Usage(value, name);
                break;
            case "model":
                said.Model = faults.Text(value, name, TaskLimits.MaxModel);
                break;
            case "retryable":
                said.Retryable = faults.Flag(value, name);
                break;
            case "retry_after_ms":
                said.RetryAfterMs = faults.Number(value, name, 0, TaskLimits.MaxRetryAfterMs);
                break;
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
        public string? Model;
        public bool Retryable;
        public long? RetryAfterMs;
    }
}
