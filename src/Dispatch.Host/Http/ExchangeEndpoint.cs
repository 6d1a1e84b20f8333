using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>The work exchange: reports in, assignments out, one round trip, waiting when there is nothing.</summary>
internal sealed class ExchangeEndpoint(
    Sequencer sequencer, IStore store, LiveConfig config, AgentCalls calls, WorkConnections connections, TimeProvider clock, CancellationToken stopping)
{
    public const int MaxTasks = 1_000;
    public const int MaxReports = 1_000;
    public const int MaxHolding = 10_000;
    private const int MaxWaitMs = 60_000;

    private static readonly MemberNames Known = new("reports", "holding", "status");
    private static readonly string[] Verdicts = ["accepted", "unchanged", "stale", "stale", "unknown"];

    private readonly TaskSight sight = new(config.Current.Auth.EffectiveVisibility);

    public void Map(IEndpointRouteBuilder routes) => routes.MapPost("/api/v1/agents/{id}/work", ExchangeAsync).Takes("max", "wait_ms");

    private async Task ExchangeAsync(HttpContext http)
    {
        var id = AgentEndpoints.OwnId(http, "given work");
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var max = (int)QueryValue.Number(http.Request, "max", 0, MaxTasks, 1, faults);
        var wait = TimeSpan.FromMilliseconds(QueryValue.Number(http.Request, "wait_ms", 0, MaxWaitMs, 0, faults));
        ExchangeWork command;
        using (var body = await JsonBody.ReadAsync(http))
            command = Read(body, id, max, faults) with { Caller = id };

        using var call = calls.Listen(id);
        var began = clock.GetTimestamp();
        var outcome = await sequencer.ExecuteAsync(command) ?? throw AgentEndpoints.NotFound(id);
        using var line = connections.Enter(http, id);
        var verdicts = await VerdictsAsync(http, command.Reports, outcome.Reports, id);

        // A worker that reported something is answered at once: it has slots to fill and reports to forget.
        while (IsEmpty(outcome) && command.Reports.Count == 0 && max > 0)
        {
            var left = wait - clock.GetElapsedTime(began);
            if (left <= TimeSpan.Zero)
                break;

            // A worker that waits here is alive: its lease is renewed well before it runs out.
            var renewal = TimeSpan.FromMilliseconds(outcome.LeaseMs) / 3;
            await call.WaitAsync(left < renewal ? left : renewal, clock, http.RequestAborted, stopping);
            if (stopping.IsCancellationRequested)
                break;

            // What it held when it asked may have ended by its own word since: only what was taken from it is news.
            outcome = await sequencer.ExecuteAsync(command with { Reports = [], Holding = [], Status = null, Resumed = true }) ?? throw AgentEndpoints.NotFound(id);
        }

        var tasks = await GrantedTasks.CompleteAsync(store, outcome.Tasks, http.RequestAborted);
        await http.WriteJsonAsync(StatusCodes.Status200OK, (command, verdicts, tasks, outcome), static (json, answer) => Write(json, answer), isLarge: tasks.Count > 64);
    }

    private static bool IsEmpty(ExchangeOutcome outcome) => outcome.Tasks.Count == 0 && outcome.Revoked.Count == 0 && !outcome.Wake;

    /// <summary>
    /// What is not in memory any more is judged by the store: a repeat of the report that ended it, or too late. A task that the agent
    /// may not see is unknown to it.
    /// </summary>
    private async ValueTask<ReportVerdict[]> VerdictsAsync(HttpContext http, IReadOnlyList<TaskReport> reports, ReportVerdict[] verdicts, string agent)
    {
        var limited = sight.Limit(http.Caller()) is not null;
        for (var i = 0; i < verdicts.Length; i++)
        {
            if (verdicts[i] != ReportVerdict.NotLive && !(limited && verdicts[i] is ReportVerdict.Stale or ReportVerdict.Foreign))
                continue;
            var stored = await store.FindTaskAsync(reports[i].Task, http.RequestAborted);
            if (stored is null || !sight.Sees(http.Caller(), stored.Task))
                verdicts[i] = ReportVerdict.NotLive;
            else if (verdicts[i] == ReportVerdict.NotLive)
                verdicts[i] = Reporting.WhyNot(stored.Task, reports[i], agent);
        }

        return verdicts;
    }

    private static ExchangeWork Read(JsonBody body, string id, int max, Faults faults)
    {
        TaskReport[] reports = [];
        HeldAttempt[] holding = [];
        AgentStatus? status = null;
        if (body.HasRoot && body.Root.ValueKind != JsonValueKind.Object)
            faults.Add("body", "must be a JSON object");
        else if (body.HasRoot)
        {
            foreach (var member in body.Root.EnumerateObject())
            {
                var value = member.Value;
                var name = Known.Of(member);
                if (value.ValueKind == JsonValueKind.Null && Known.Has(name))
                    continue;
                switch (name)
                {
                    case "reports":
                        reports = List(value, name, MaxReports, ReportReader.FromExchange, faults);
                        break;
                    case "holding":
                        holding = List(value, name, MaxHolding, Held, faults);
                        break;
                    case "status":
                        status = AgentReader.Status(value, faults);
                        break;
                    default:
                        faults.Unknown(name, Known.All);
                        break;
                }
            }
        }

        faults.ThrowIfAny();
        return new ExchangeWork(id, reports, holding, status, max);
    }

    private static T[] List<T>(JsonElement value, string name, int most, Func<JsonElement, Faults, T> read, Faults faults)
    {
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > most)
        {
            faults.Add(name, $"must be an array of at most {most} entries", value);
            return [];
        }

        var list = new T[value.GetArrayLength()];
        var index = 0;
        foreach (var item in value.EnumerateArray())
        {
            faults.Enter(name, index);
            list[index++] = read(item, faults);
        }

        faults.Leave();
        return list;
    }

    private static HeldAttempt Held(JsonElement value, Faults faults)
    {
        if (value.ValueKind != JsonValueKind.Object)
            return new HeldAttempt(faults.Id(value, "") ?? default, null);

        TaskId? id = null;
        int? attempt = null;
        foreach (var member in value.EnumerateObject())
        {
            switch (member.Name)
            {
                case "task_id":
                    id = faults.Id(member.Value, "task_id");
                    break;
                case "attempt":
                    attempt = (int)faults.Number(member.Value, "attempt", 1, int.MaxValue);
                    break;
                default:
                    faults.Unknown(member.Name, ["task_id", "attempt"]);
                    break;
            }
        }

        if (id is null && !value.TryGetProperty("task_id", out _))
            faults.Add("task_id", "is required");
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
