using Dispatch.Agents;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>The routes below /api/v1/agents, the exchange aside.</summary>
internal sealed class AgentEndpoints(Sequencer sequencer, IStore store, LiveConfig config, WorkConnections connections)
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
            command = AgentReader.Read(body, id, config.Current.Assignment.MaxConcurrentPerAgent) with { Caller = http.Caller().Agent, ByAdmin = http.Caller().IsAdmin };
        var view = await sequencer.ExecuteAsync(command);
        await http.WriteJsonAsync(view.IsNew ? StatusCodes.Status201Created : StatusCodes.Status200OK, view, AgentWriter.Write);
    }

    private async Task GetAsync(HttpContext http)
    {
        var id = http.PathAgent();
        if (!http.Caller().IsAdmin && config.Current.Auth.EffectiveVisibility == Visibility.Own && http.Caller().Agent != id)
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
