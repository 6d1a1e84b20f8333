using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Host.Auth;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>What only an admin may do: numbers, dead letters, tokens.</summary>
internal sealed class AdminEndpoints(Sequencer sequencer, IStore store, TokenDirectory tokens, TaskTimes times, TimeProvider clock)
{
    private static readonly TaskState[] DeadStates = [TaskState.Failed, TaskState.Timeout];

    private readonly long started = clock.GetTimestamp();

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapRead("/api/v1/stats", StatsAsync);
        routes.MapRead("/api/v1/dead-letters", DeadLettersAsync).Takes("status", "scope", "requester", "limit", "cursor");
        routes.MapPost("/api/v1/dead-letters/redrive", RedriveAsync);
        routes.MapPost("/api/v1/tokens", CreateTokenAsync);
        routes.MapRead("/api/v1/tokens", ListTokensAsync);
        routes.MapDelete("/api/v1/tokens/{id}", RevokeTokenAsync);
    }

    private async Task StatsAsync(HttpContext http)
    {
        http.DemandAdmin();
        var stats = await sequencer.ExecuteAsync(new ReadStats { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, stats, WriteStats);
    }

    private void WriteStats(Utf8JsonWriter json, StateStats stats)
    {
        var (queued, ran, records) = times.Read();
        json.WriteStartObject();
        json.WriteStartObject("tasks"u8);
        foreach (var state in Enum.GetValues<TaskState>())
            json.WriteNumber(TaskWriter.Word(state), stats.Totals[(int)state]);
        json.WriteEndObject();
        json.WriteNumber("oldest_pending_ms"u8, stats.OldestPendingMs);
        WriteTimes(json, "queue_ms"u8, queued);
        WriteTimes(json, "run_ms"u8, ran);
        json.WriteNumber("dead_letters"u8, stats.Totals[(int)TaskState.Failed] + stats.Totals[(int)TaskState.Timeout]);
        json.WriteStartArray("agents"u8);
        foreach (var view in stats.Agents)
        {
            var record = records.GetValueOrDefault(view.Agent.Id);
            json.WriteStartObject();
            json.WriteString("id"u8, view.Agent.Id);
            json.WriteString("status"u8, AgentWriter.Word(view.Agent.Status));
            json.WriteBoolean("drained"u8, view.Agent.Drained);
            json.WriteNumber("active"u8, view.Active);
            json.WriteNumber("max_concurrent"u8, view.Agent.MaxConcurrent);
            json.WriteNumber("completed"u8, record.Completed);
            json.WriteNumber("failed"u8, record.Failed);
            json.WriteNumber("timeout"u8, record.Timeout);
            json.WriteNumber("lost"u8, record.Lost);
            json.WriteNumber("avg_run_ms"u8, record.Completed == 0 ? 0 : Math.Round((double)record.RunMs / record.Completed, 3));
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("sequence"u8, stats.Sequence);
        json.WriteNumber("uptime_ms"u8, (long)clock.GetElapsedTime(started).TotalMilliseconds);
        json.WriteNumber("queue_depth"u8, sequencer.QueueDepth);
        json.WriteString("version"u8, Broker.Version);
        json.WriteEndObject();
    }

    private static void WriteTimes(Utf8JsonWriter json, ReadOnlySpan<byte> name, TimeSummary summary)
    {
        json.WriteStartObject(name);
        json.WriteNumber("count"u8, summary.Count);
        json.WriteNumber("avg"u8, Math.Round(summary.Average, 3));
        json.WriteNumber("p50"u8, Math.Round(summary.P50, 3));
        json.WriteNumber("p95"u8, Math.Round(summary.P95, 3));
        json.WriteNumber("p99"u8, Math.Round(summary.P99, 3));
        json.WriteEndObject();
    }

    private async Task DeadLettersAsync(HttpContext http)
    {
        http.DemandAdmin();
        var query = TaskQueryReader.Read(http, visibleTo: null) with { DeadLettered = true };
        if (query.Statuses.Except(DeadStates).Any())
        {
            var faults = new Faults();
            faults.Add("status", "must be failed or timeout: what else ended is no dead letter");
            faults.ThrowIfAny();
        }

        query = query with { Statuses = query.Statuses.Count == 0 ? DeadStates : query.Statuses };
        await TaskEndpoints.AnswerPageAsync(http, query, await store.ListTasksAsync(query with { Limit = query.Limit + 1 }, http.RequestAborted));
    }

    private async Task RedriveAsync(HttpContext http)
    {
        http.DemandAdmin();
        RedriveRequest wanted;
        using (var body = await JsonBody.ReadAsync(http))
            wanted = RedriveRequest.Read(body);

        var more = false;
        var ids = wanted.Ids;
        if (ids is null)
        {
            var found = await store.ListTasksAsync(wanted.Query with { Limit = wanted.Query.Limit + 1 }, http.RequestAborted);
            more = found.Count > wanted.Query.Limit;
            ids = found.Take(wanted.Query.Limit).Select(stored => stored.Task.Id).ToArray();
        }

        // Side by side, so that they share commits.
        var outcomes = await Task.WhenAll(ids.Select(id => Redrive.RetryAsync(sequencer, store, id, http.Caller(), http.RequestAborted)));
        await http.WriteJsonAsync(StatusCodes.Status200OK, (ids, outcomes, more), static (json, done) =>
        {
            json.WriteStartObject();
            json.WriteNumber("redriven"u8, done.outcomes.Count(outcome => outcome is ChangeOutcome.Changed));
            json.WriteStartArray("skipped"u8);
            for (var i = 0; i < done.ids.Count; i++)
            {
                if (done.outcomes[i] is ChangeOutcome.Changed)
                    continue;
                json.WriteStartObject();
                json.WriteString("id"u8, done.ids[i].Value);
                json.WriteString("reason"u8, done.outcomes[i] switch
                {
                    ChangeOutcome.NotLive => "task_not_found",
                    ChangeOutcome.WrongState wrong => $"is {TaskWriter.Word(wrong.State)}",
                    _ => "changed meanwhile",
                });
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteBoolean("more"u8, done.more);
            json.WriteEndObject();
        });
    }

    private async Task CreateTokenAsync(HttpContext http)
    {
        http.DemandAdmin();
        TokenRequest wanted;
        using (var body = await JsonBody.ReadAsync(http))
            wanted = TokenRequest.Read(body);

        var secret = TokenText.MakeForAgent();
        var token = await sequencer.ExecuteAsync(
            new CreateToken($"tok_{Guid.CreateVersion7(clock.GetUtcNow()):N}", TokenHash.Of(secret).ToString(), wanted.Agent, wanted.Name, wanted.ExpiresInMs) { Caller = http.Caller().Agent, ByAdmin = true });

        // The directory follows the commits a moment later; whoever is answered may use the token at once.
        tokens.Add(token);
        await http.WriteJsonAsync(StatusCodes.Status201Created, (token, secret), static (json, made) => WriteToken(json, made.token, made.secret));
    }

    private async Task ListTokensAsync(HttpContext http)
    {
        http.DemandAdmin();
        var all = await sequencer.ExecuteAsync(new ListTokens { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, all, static (json, list) =>
        {
            json.WriteStartArray();
            foreach (var token in list)
                WriteToken(json, token, null);
            json.WriteEndArray();
        });
    }

    private async Task RevokeTokenAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var id = http.PathId();
        var token = await sequencer.ExecuteAsync(new RevokeToken(id) { Caller = http.Caller().Agent, ByAdmin = true })
            ?? throw new ProblemException(new Problem(ErrorCode.TokenNotFound, $"There is no token {Excerpt.Of(id, 64)}."));

        // From this answer on it is refused.
        tokens.Revoke(token);
        await http.WriteJsonAsync(StatusCodes.Status200OK, token, static (json, revoked) => WriteToken(json, revoked, null));
    }

    private static void WriteToken(Utf8JsonWriter json, AgentToken token, string? secret)
    {
        json.WriteStartObject();
        json.WriteString("id"u8, token.Id);
        json.WriteString("agent_id"u8, token.Agent);
        TaskWriter.Text(json, "name"u8, token.Name);
        TaskWriter.Text(json, "token"u8, secret);
        TaskWriter.Time(json, "created_at"u8, token.CreatedAt);
        TaskWriter.Time(json, "expires_at"u8, token.ExpiresAt ?? 0);
        TaskWriter.Time(json, "revoked_at"u8, token.RevokedAt ?? 0);
        json.WriteEndObject();
    }
}
