using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>The work exchange: reports in, assignments out, one round trip, waiting when there is nothing.</summary>
internal sealed class ExchangeEndpoint(Sequencer sequencer, IStore store, AgentCalls calls, WorkConnections connections, TimeProvider clock, CancellationToken stopping)
{
    public const int MaxTasks = 1_000;
    public const int MaxReports = 1_000;
    public const int MaxHolding = 10_000;
    private const int MaxWaitMs = 60_000;

    private static readonly string[] Verdicts = ["accepted", "unchanged", "stale", "stale", "unknown"];

    public void Map(IEndpointRouteBuilder routes) => routes.MapPost("/api/v1/agents/{id}/work", ExchangeAsync);

    private async Task ExchangeAsync(HttpContext http)
    {
        var id = AgentEndpoints.OwnId(http, "given work");
        var faults = new Faults();
        QueryValue.RefuseUnknown(http.Request, ["max", "wait_ms"], faults);
        var max = (int)QueryValue.Number(http.Request, "max", 0, MaxTasks, 1, faults);
        var wait = TimeSpan.FromMilliseconds(QueryValue.Number(http.Request, "wait_ms", 0, MaxWaitMs, 0, faults));
        ExchangeWork command;
        using (var body = await JsonBody.ReadAsync(http))
            command = Read(body, id, max, faults) with { Caller = id };

        using var line = connections.Enter(http, id);
        var bell = calls.Of(id);
        var rings = bell.Rings;
        var began = clock.GetTimestamp();
        var outcome = await sequencer.ExecuteAsync(command) ?? throw AgentEndpoints.NotFound(id);
        var verdicts = await VerdictsAsync(command.Reports, outcome.Reports, id, http.RequestAborted);

        // A worker that reported something is answered at once: it has slots to fill and reports to forget.
        while (outcome.Tasks.Count == 0 && outcome.Revoked.Count == 0 && !outcome.Wake && command.Reports.Count == 0 && max > 0)
        {
            var left = wait - clock.GetElapsedTime(began);
            if (left <= TimeSpan.Zero)
                break;
            if (!await RingsAsync(bell, rings, left, http.RequestAborted))
                break;

            rings = bell.Rings;
            outcome = await sequencer.ExecuteAsync(command with { Reports = [], Status = null, Resumed = true }) ?? throw AgentEndpoints.NotFound(id);
        }

        var tasks = await GrantedTasks.CompleteAsync(store, outcome.Tasks, http.RequestAborted);
        await http.WriteJsonAsync(StatusCodes.Status200OK, (command, verdicts, tasks, outcome), static (json, answer) => Write(json, answer));
    }

    /// <summary>False when the time is up or the broker stops: the worker is answered with nothing and asks again.</summary>
    private async Task<bool> RingsAsync(AgentCalls.Bell bell, long since, TimeSpan most, CancellationToken aborted)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(aborted, stopping);
        try
        {
            return await bell.WaitAsync(since, most, clock, either.Token);
        }
        catch (OperationCanceledException) when (!aborted.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>What is not in memory any more is judged by the store: a repeat of the report that ended it, or too late.</summary>
    private async ValueTask<ReportVerdict[]> VerdictsAsync(IReadOnlyList<TaskReport> reports, ReportVerdict[] verdicts, string agent, CancellationToken cancel)
    {
        for (var i = 0; i < verdicts.Length; i++)
        {
            if (verdicts[i] == ReportVerdict.NotLive && await store.FindTaskAsync(reports[i].Task, cancel) is { } stored)
                verdicts[i] = Reporting.WhyNot(stored.Task, reports[i], agent);
        }

        return verdicts;
    }

    private static ExchangeWork Read(JsonBody body, string id, int max, Faults faults)
    {
        List<TaskReport> reports = [];
        List<HeldAttempt> holding = [];
        AgentStatus? status = null;
        if (body.HasRoot && body.Root.ValueKind != JsonValueKind.Object)
            faults.Add("body", "must be a JSON object");
        else if (body.HasRoot)
        {
            foreach (var member in body.Root.EnumerateObject())
            {
                switch (member.Name)
                {
                    case "reports" when IsList(member.Value, "reports", MaxReports, faults):
                        foreach (var report in member.Value.EnumerateArray())
                            reports.Add(ReportReader.FromExchange(report, reports.Count, faults));
                        break;
                    case "holding" when IsList(member.Value, "holding", MaxHolding, faults):
                        foreach (var held in member.Value.EnumerateArray())
                            holding.Add(Held(held, $"holding[{holding.Count}]", faults));
                        break;
                    case "status":
                        status = AgentReader.Status(member.Value, faults);
                        break;
                    case "reports" or "holding":
                        break;
                    default:
                        Faults.Unknown(faults, "", member.Name, ["reports", "holding", "status"]);
                        break;
                }
            }
        }

        faults.ThrowIfAny();
        return new ExchangeWork(id, reports, holding, status, max);
    }

    private static bool IsList(JsonElement value, string field, int most, Faults faults)
    {
        if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() <= most)
            return true;
        faults.Add(field, $"must be an array of at most {most} entries");
        return false;
    }

    private static HeldAttempt Held(JsonElement value, string field, Faults faults)
    {
        if (value.ValueKind != JsonValueKind.Object)
            return new HeldAttempt(faults.Id(value, field) ?? default, null);

        TaskId? id = null;
        int? attempt = null;
        foreach (var member in value.EnumerateObject())
        {
            switch (member.Name)
            {
                case "task_id":
                    id = faults.Id(member.Value, $"{field}.task_id");
                    break;
                case "attempt":
                    attempt = (int)faults.Number(member.Value, $"{field}.attempt", 1, int.MaxValue);
                    break;
                default:
                    Faults.Unknown(faults, field + ".", member.Name, ["task_id", "attempt"]);
                    break;
            }
        }

        if (id is null && faults.Count == 0)
            faults.Add($"{field}.task_id", "is required");
        return new HeldAttempt(id ?? default, attempt);
    }

    private static void Write(
        Utf8JsonWriter json, (ExchangeWork Command, ReportVerdict[] Verdicts, IReadOnlyList<GrantedTask> Tasks, ExchangeOutcome Outcome) answer)
    {
        json.WriteStartObject();
        json.WriteStartArray("reports"u8);
        for (var i = 0; i < answer.Verdicts.Length; i++)
        {
            var report = answer.Command.Reports[i];
            json.WriteStartObject();
            json.WriteString("task_id"u8, report.Task.Value);
            if (report.Attempt is { } attempt)
                json.WriteNumber("attempt"u8, attempt);
            json.WriteString("status"u8, Verdicts[(int)answer.Verdicts[i]]);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartArray("tasks"u8);
        foreach (var task in answer.Tasks)
            TaskWriter.Write(json, task.Task, task.Spec!, null, null, answer.Outcome.LeaseExpiresAt);
        json.WriteEndArray();
        AgentWriter.WriteRevoked(json, answer.Outcome.Revoked);
        if (answer.Outcome.Wake)
            json.WriteBoolean("wake"u8, true);
        TaskWriter.Time(json, "lease_expires_at"u8, answer.Outcome.LeaseExpiresAt);
        json.WriteEndObject();
    }
}
