using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>The routes below /api/v1/agents, the exchange aside.</summary>
internal sealed class AgentEndpoints(Sequencer sequencer, IStore store, DispatchConfig config, WorkConnections connections)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapRead("/api/v1/agents", ListAsync).Takes("capability", "status", "owner");
        routes.MapPut("/api/v1/agents/{id}", RegisterAsync);
        routes.MapRead("/api/v1/agents/{id}", GetAsync);
        routes.MapDelete("/api/v1/agents/{id}", LeaveAsync);
        routes.MapPost("/api/v1/agents/{id}/heartbeat", HeartbeatAsync);
        routes.MapRead("/api/v1/agents/{id}/tasks", HeldAsync);
        routes.MapPost("/api/v1/agents/{id}/drain", http => DrainAsync(http, drain: true));
        routes.MapPost("/api/v1/agents/{id}/resume", http => DrainAsync(http, drain: false));
    }

    private async Task ListAsync(HttpContext http)
    {
        http.DemandAdmin();
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var owner = TaskQueryReader.Name(http.Request, "owner", faults);
        var status = AgentReader.Status(http.Request, faults);
        faults.ThrowIfAny();

        var wanted = http.Request.Query["capability"].Select(capability => capability ?? "").ToArray();
        var agents = (await sequencer.ExecuteAsync(new ListAgents { Caller = http.Caller().Agent })).Where(view =>
            (owner is null || string.Equals(view.Agent.Owner, owner, StringComparison.Ordinal))
            && (status is null || view.Agent.Status == status)
            && wanted.All(capability => view.Agent.Capabilities.Contains(capability.Trim(), StringComparer.OrdinalIgnoreCase)));
        await http.WriteJsonAsync(StatusCodes.Status200OK, agents, static (json, views) =>
        {
            json.WriteStartArray();
            foreach (var view in views)
                AgentWriter.Write(json, view);
            json.WriteEndArray();
        });
    }

    private async Task RegisterAsync(HttpContext http)
    {
        var id = OwnId(http, "registered");
        RegisterAgent command;
        using (var body = await JsonBody.ReadAsync(http))
            command = AgentReader.Read(body, id, config.Assignment.MaxConcurrentPerAgent) with { Caller = http.Caller().Agent, ByAdmin = http.Caller().IsAdmin };
        var view = await sequencer.ExecuteAsync(command);
        await http.WriteJsonAsync(view.IsNew ? StatusCodes.Status201Created : StatusCodes.Status200OK, view, AgentWriter.Write);
    }

    private async Task GetAsync(HttpContext http)
    {
        var id = http.PathAgent();
        if (!http.Caller().IsAdmin && config.Auth.EffectiveVisibility == Visibility.Own && http.Caller().Agent != id)
            throw NotFound(id);
        var view = await sequencer.ExecuteAsync(new FindAgent(id) { Caller = http.Caller().Agent }) ?? throw NotFound(id);
        await http.WriteJsonAsync(StatusCodes.Status200OK, view, AgentWriter.Write);
    }

    private async Task LeaveAsync(HttpContext http)
    {
        var id = OwnId(http, "removed");
        await JsonBody.IgnoreAsync(http);
        var returned = await sequencer.ExecuteAsync(new DeregisterAgent(id) { Caller = http.Caller().Agent, ByAdmin = http.Caller().IsAdmin }) ?? throw NotFound(id);
        await http.WriteJsonAsync(StatusCodes.Status200OK, (id, returned), static (json, left) =>
        {
            json.WriteStartObject();
            json.WriteString("id"u8, left.id);
            json.WriteNumber("returned"u8, left.returned);
            json.WriteEndObject();
        });
    }

    private async Task HeartbeatAsync(HttpContext http)
    {
        var id = OwnId(http, "kept alive");
        AgentStatus? status;
        using (var body = await JsonBody.ReadAsync(http))
        {
            var faults = new Faults();
            status = AgentReader.StatusOnly(body, faults);
            faults.ThrowIfAny();
        }

        var outcome = await sequencer.ExecuteAsync(new Heartbeat(id, status) { Caller = http.Caller().Agent }) ?? throw NotFound(id);
        connections.Saw(http, id);
        await http.WriteJsonAsync(StatusCodes.Status200OK, outcome, static (json, beat) =>
        {
            json.WriteStartObject();
            json.WritePropertyName("agent"u8);
            AgentWriter.Write(json, beat.Agent);
            TaskWriter.Time(json, "lease_expires_at"u8, beat.LeaseExpiresAt);
            if (beat.Wake)
                json.WriteBoolean("wake"u8, true);
            AgentWriter.WriteRevoked(json, beat.Revoked);
            json.WriteEndObject();
        });
    }

    private async Task HeldAsync(HttpContext http)
    {
        var id = OwnId(http, "asked for its tasks");
        var held = await sequencer.ExecuteAsync(new ListHeld(id) { Caller = http.Caller().Agent }) ?? throw NotFound(id);
        var tasks = await GrantedTasks.CompleteAsync(store, held.Tasks, http.RequestAborted);
        await http.WriteJsonAsync(StatusCodes.Status200OK, (tasks, held.LeaseExpiresAt), static (json, list) =>
        {
            json.WriteStartArray();
            foreach (var task in list.tasks)
                TaskWriter.Write(json, task.Task, task.Spec!, null, null, list.LeaseExpiresAt);
            json.WriteEndArray();
        });
    }

    private async Task DrainAsync(HttpContext http, bool drain)
    {
        http.DemandAdmin();
        var id = http.PathAgent();
        await JsonBody.IgnoreAsync(http);
        var view = await sequencer.ExecuteAsync(new DrainAgent(id, drain) { Caller = http.Caller().Agent, ByAdmin = true }) ?? throw NotFound(id);
        await http.WriteJsonAsync(StatusCodes.Status200OK, view, AgentWriter.Write);
    }

    /// <summary>The agent in the path, which must be the caller unless that is an admin.</summary>
    public static string OwnId(HttpContext http, string verb)
    {
        var id = http.PathAgent();
        var caller = http.Caller();
        return caller.IsAdmin || string.Equals(caller.Agent, id, StringComparison.Ordinal)
            ? id
            : throw new ProblemException(new Problem(ErrorCode.Forbidden, $"Agent {id} can be {verb} by itself or an admin only; the caller is {caller.Agent}."));
    }

    public static ProblemException NotFound(string id) =>
        new(new Problem(ErrorCode.AgentNotFound, $"There is no agent {id}. It registers with PUT /api/v1/agents/{Uri.EscapeDataString(id)}."));
}

/// <summary>Puts the specs to granted tasks whose specs are not kept in memory.</summary>
internal static class GrantedTasks
{
    public static async ValueTask<IReadOnlyList<GrantedTask>> CompleteAsync(IStore store, IReadOnlyList<GrantedTask> granted, CancellationToken cancel)
    {
        var missing = new List<long>();
        foreach (var task in granted)
        {
            if (task.Spec is null)
                missing.Add(task.Task.Number);
        }

        if (missing.Count == 0)
            return granted;

        var specs = await store.FindSpecsAsync(missing, cancel);
        var complete = granted.ToArray();
        var next = 0;
        for (var i = 0; i < complete.Length; i++)
        {
            if (complete[i].Spec is null)
                complete[i] = complete[i] with { Spec = specs[next] ?? throw new InvalidOperationException($"Task {complete[i].Task.Id} has no spec in the store.") };
            if (granted[i].Spec is null)
                next++;
        }

        return complete;
    }
}

/// <summary>Reads agents' registrations.</summary>
internal static class AgentReader
{
    public const int MaxConcurrentLimit = 10_000;
    private const int MaxCapabilities = 256;
    private const int MaxUrl = 2_048;

    private static readonly MemberNames Known = new("capabilities", "owner", "labels", "max_concurrent", "status", "wake");

    private static readonly Dictionary<string, AgentStatus> Statuses = new(StringComparer.Ordinal)
    {
        ["ready"] = AgentStatus.Ready, ["busy"] = AgentStatus.Busy, ["sleeping"] = AgentStatus.Sleeping, ["degraded"] = AgentStatus.Degraded,
    };

    public static RegisterAgent Read(JsonBody body, string id, int defaultMaxConcurrent)
    {
        var faults = new Faults();
        string[] capabilities = [];
        string? owner = null, wake = null;
        Events.JsonBytes? labels = null;
        var maxConcurrent = defaultMaxConcurrent;
        var status = AgentStatus.Ready;
        if (body.HasRoot && body.Root.ValueKind != JsonValueKind.Object)
            faults.Add("body", "must be a JSON object");
        foreach (var member in body.HasRoot && faults.Count == 0 ? body.Root.EnumerateObject().ToArray() : [])
        {
            var name = Known.Of(member);
            if (member.Value.ValueKind == JsonValueKind.Null && Known.Has(name))
                continue;
            switch (name)
            {
                case "capabilities":
                    capabilities = faults.Names(member.Value, "capabilities", MaxCapabilities);
                    break;
                case "owner":
                    owner = faults.Text(member.Value, "owner", TaskLimits.MaxName);
                    break;
                case "labels":
                    labels = faults.Labels(member.Value, "labels");
                    break;
                case "max_concurrent":
                    maxConcurrent = (int)faults.Number(member.Value, "max_concurrent", 1, MaxConcurrentLimit);
                    break;
                case "status":
                    status = Status(member.Value, faults);
                    break;
                case "wake":
                    wake = Wake(member.Value, faults);
                    break;
                default:
                    faults.Unknown(name, Known.All);
                    break;
            }
        }

        faults.ThrowIfAny();
        return new RegisterAgent(id, capabilities, owner, labels, maxConcurrent, status, wake);
    }

    /// <summary>The status in a body that holds nothing else, or null.</summary>
    public static AgentStatus? StatusOnly(JsonBody body, Faults faults)
    {
        AgentStatus? status = null;
        if (!body.HasRoot)
            return status;
        if (body.Root.ValueKind != JsonValueKind.Object)
        {
            faults.Add("body", "must be a JSON object");
            return status;
        }

        foreach (var member in body.Root.EnumerateObject())
        {
            if (member.Name == "status")
                status = member.Value.ValueKind == JsonValueKind.Null ? null : Status(member.Value, faults);
            else
                faults.Unknown(member.Name, ["status"]);
        }

        return status;
    }

    public static AgentStatus Status(JsonElement value, Faults faults)
    {
        if (value.ValueKind == JsonValueKind.String && Statuses.TryGetValue(value.GetString()!, out var status))
            return status;
        faults.Add("status", "must be ready, busy, sleeping or degraded", value);
        return AgentStatus.Ready;
    }

    public static AgentStatus? Status(HttpRequest request, Faults faults)
    {
        if (TaskQueryReader.Name(request, "status", faults) is not { } word)
            return null;
        if (word == "offline")
            return AgentStatus.Offline;
        if (Statuses.TryGetValue(word, out var status))
            return status;
        faults.Add("status", "must be ready, busy, sleeping, degraded or offline");
        return null;
    }

    private static string? Wake(JsonElement value, Faults faults)
    {
        if (value.ValueKind != JsonValueKind.Object || !value.TryGetProperty("url", out var url) || value.EnumerateObject().Count() != 1)
        {
            faults.Add("wake", "must be an object with a url");
            return null;
        }

        var text = faults.Text(url, "wake.url", MaxUrl);
        if (text is null || (Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && uri.UserInfo.Length == 0))
            return text;
        faults.Add("wake.url", "must be an absolute http or https address without a user", url);
        return null;
    }
}

/// <summary>Writes agents as callers see them.</summary>
internal static class AgentWriter
{
    public static string Word(AgentStatus status) => status switch
    {
        AgentStatus.Ready => "ready",
        AgentStatus.Busy => "busy",
        AgentStatus.Sleeping => "sleeping",
        AgentStatus.Degraded => "degraded",
        _ => "offline",
    };

    public static void Write(Utf8JsonWriter json, AgentView view)
    {
        var agent = view.Agent;
        json.WriteStartObject();
        json.WriteString("id"u8, agent.Id);
        TaskWriter.Texts(json, "capabilities"u8, agent.Capabilities);
        TaskWriter.Text(json, "owner"u8, agent.Owner);
        TaskWriter.Raw(json, "labels"u8, agent.Labels ?? Events.JsonBytes.EmptyObject);
        json.WriteNumber("max_concurrent"u8, agent.MaxConcurrent);
        json.WriteString("status"u8, Word(agent.Status));
        json.WriteNumber("active"u8, view.Active);
        json.WriteBoolean("drained"u8, agent.Drained);
        TaskWriter.Time(json, "registered_at"u8, agent.RegisteredAt);
        TaskWriter.Time(json, "last_seen_at"u8, view.LastSeenAt);
        if (agent.WakeUrl is { } url)
        {
            json.WriteStartObject("wake"u8);
            json.WriteString("url"u8, url);
            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    public static void WriteRevoked(Utf8JsonWriter json, IReadOnlyList<Revocation> revoked)
    {
        json.WriteStartArray("cancelled"u8);
        foreach (var attempt in revoked)
        {
            json.WriteStartObject();
            json.WriteString("task_id"u8, attempt.Task.Value);
            json.WriteNumber("attempt"u8, attempt.Attempt);
            json.WriteString("reason"u8, attempt.Reason);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
