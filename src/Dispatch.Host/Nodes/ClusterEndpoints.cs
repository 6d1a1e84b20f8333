using System.Text.Json;
using Dispatch.Host.Http;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Nodes;

/// <summary>Nodes and namespaces, for admins. A broker that is alone shows itself, and refuses what needs others.</summary>
/// <param name="node">The node; null: the broker is alone.</param>
internal sealed class ClusterEndpoints(Node? node, string space, Func<Uri> url, TimeProvider clock)
{
    private readonly long startedAt = clock.GetUtcNow().ToUnixTimeMilliseconds();

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapRead("/api/v1/nodes", ListNodesAsync);
        routes.MapPost("/api/v1/nodes/{name}/drain", http => DrainAsync(http, draining: true));
        routes.MapPost("/api/v1/nodes/{name}/undrain", http => DrainAsync(http, draining: false));
        routes.MapRead("/api/v1/namespaces", ListNamespacesAsync);
        routes.MapPost("/api/v1/namespaces", CreateAsync);
        routes.MapPost("/api/v1/namespaces/{name}/move", MoveAsync);
    }

    private async Task ListNodesAsync(HttpContext http)
    {
        http.DemandAdmin();
        await http.WriteJsonAsync(StatusCodes.Status200OK, await ReadAsync(http), static (json, view) =>
        {
            json.WriteStartArray();
            foreach (var one in view.Nodes)
                Write(json, view, one);
            json.WriteEndArray();
        });
    }

    private async Task ListNamespacesAsync(HttpContext http)
    {
        http.DemandAdmin();
        await http.WriteJsonAsync(StatusCodes.Status200OK, await ReadAsync(http), static (json, view) =>
        {
            json.WriteStartArray();
            foreach (var one in view.Namespaces)
                Write(json, view, one);
            json.WriteEndArray();
        });
    }

    private async Task DrainAsync(HttpContext http, bool draining)
    {
        http.DemandAdmin();
        var name = (string)http.Request.RouteValues["name"]!;
        if (!await Tables.DrainAsync(name, draining, http.RequestAborted))
            throw new ProblemException(new Problem(ErrorCode.NodeNotFound, $"There is no node '{name}'."));
        await http.WriteJsonAsync(StatusCodes.Status200OK, (View: await ReadAsync(http), name), static (json, state) => Write(json, state.View, state.View.Nodes.First(one => one.Name == state.name)));
    }

    private async Task CreateAsync(HttpContext http)
    {
        http.DemandAdmin();
        using var body = await JsonBody.ReadAsync(http);
        var faults = new Faults();
        var name = Text(body.Root, "name", faults);
        if (name is not null && !PostgresStoreOptions.IsNamespace(name))
            faults.Add("name", "must be 1 to 40 of a-z, 0-9, - and _, the first a letter or digit", body.Root.GetProperty("name"));
        else if (name is null)
            faults.Add("name", "is missing: 1 to 40 of a-z, 0-9, - and _, the first a letter or digit");
        faults.ThrowIfAny();
        var isNew = await Tables.CreateNamespaceAsync(name!, http.RequestAborted);
        await AnswerNamespaceAsync(http, name!, isNew ? StatusCodes.Status201Created : StatusCodes.Status200OK);
    }

    private async Task MoveAsync(HttpContext http)
    {
        http.DemandAdmin();
        var name = (string)http.Request.RouteValues["name"]!;
        using var body = await JsonBody.ReadAsync(http);
        var faults = new Faults();
        var to = Text(body.Root, "node", faults);
        faults.ThrowIfAny();
        var now = await Tables.ReadAsync(http.RequestAborted);
        if (to is not null && !now.Nodes.Any(one => one.Name == to))
            throw new ProblemException(new Problem(ErrorCode.NodeNotFound, $"There is no node '{to}'."));
        if (!await Tables.MoveAsync(name, to, http.RequestAborted))
            throw new ProblemException(new Problem(ErrorCode.NamespaceNotFound, $"There is no namespace '{name}'."));
        await AnswerNamespaceAsync(http, name, StatusCodes.Status202Accepted);
    }

    private async Task AnswerNamespaceAsync(HttpContext http, string name, int status) =>
        await http.WriteJsonAsync(status, (View: await ReadAsync(http), name), static (json, state) => Write(json, state.View, state.View.Namespaces.First(one => one.Name == state.name)));

    private static void Write(Utf8JsonWriter json, ClusterView view, NodeRow node)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, node.Name);
        json.WriteString("url"u8, node.Url);
        json.WriteString("status"u8, node.SilentMs >= Node.LifeMs ? "gone"u8 : node.Draining ? "draining"u8 : "up"u8);
        json.WriteString("version"u8, node.Version);
        TaskWriter.Time(json, "started_at"u8, node.StartedAt);
        json.WriteNumber("silent_ms"u8, Math.Max(0, node.SilentMs));
        json.WriteStartArray("writes"u8);
        foreach (var space in view.Namespaces.Where(space => !space.IsFree && space.Holder == node.Holder))
            json.WriteStringValue(space.Name);
        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, ClusterView view, NamespaceRow space)
    {
        json.WriteStartObject();
        json.WriteString("name"u8, space.Name);
        TaskWriter.Text(json, "writer"u8, space.IsFree ? null : view.Nodes.FirstOrDefault(node => node.Holder == space.Holder)?.Name);
        TaskWriter.Text(json, "node"u8, space.Node);
        json.WriteNumber("epoch"u8, space.Epoch);
        json.WriteEndObject();
    }

    private static string? Text(JsonElement body, string member, Faults faults)
    {
        if (body.ValueKind != JsonValueKind.Object)
        {
            faults.Add("", "the body must be a JSON object");
            return null;
        }

        foreach (var other in body.EnumerateObject())
        {
            if (other.Name != member)
                faults.Add(other.Name, $"is not known here; known is {member}");
        }

        if (!body.TryGetProperty(member, out var value) || value.ValueKind == JsonValueKind.Null)
            return null;
        if (value.ValueKind == JsonValueKind.String)
            return value.GetString();
        faults.Add(member, "must be a string", value);
        return null;
    }

    private ClusterTables Tables => node?.Tables
        ?? throw new ProblemException(new Problem(ErrorCode.Validation, "This broker keeps its store in SQLite and is alone. Nodes and namespaces need PostgreSQL: see database.url."));

    private async Task<ClusterView> ReadAsync(HttpContext http)
    {
        if (node is null)
        {
            var self = new NodeRow(Environment.MachineName, "", url().ToString().TrimEnd('/'), Broker.Version, startedAt, 0, false);
            return new ClusterView([self], [new NamespaceRow(space, null, self.Holder, 0, false)]);
        }

        try
        {
            return await node.Tables.ReadAsync(http.RequestAborted);
        }
        catch (StoreException)
        {
            throw new ProblemException(new Problem(ErrorCode.StoreUnavailable, "The database can't be reached now.") { RetryAfterSeconds = 1 });
        }
    }
}
