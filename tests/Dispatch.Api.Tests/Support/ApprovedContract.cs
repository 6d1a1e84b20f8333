using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Xunit.Sdk;

namespace Dispatch.Api.Tests.Support;

/// <summary>docs/openapi.json. What the broker answers must be in it, and what it accepts too.</summary>
public static class ApprovedContract
{
    private static readonly string[] Verbs = ["get", "put", "post", "patch", "delete"];

    public static readonly byte[] Bytes = Read();

    public static readonly JsonElement Document = JsonDocument.Parse(Bytes).RootElement;

    private static readonly JsonSchema Schema = new(Document);

    private static readonly (Regex Path, string Template, JsonElement Item)[] Paths =
    [
        .. Document.GetProperty("paths").EnumerateObject()
            .Select(path => (new Regex("^" + Regex.Replace(path.Name, @"\{[^}]+\}", "[^/]+") + "/?$", RegexOptions.IgnoreCase), path.Name, path.Value)),
    ];

    /// <summary>"GET /api/v1/tasks" ...</summary>
    public static IEnumerable<string> Operations =>
        from path in Paths
        from verb in Verbs
        where path.Item.TryGetProperty(verb, out _)
        select $"{verb.ToUpperInvariant()} {path.Template}";

    /// <summary>Fails when the answer, or a request that was accepted, is not as the contract says.</summary>
    public static void Check(HttpMethod method, string pathAndQuery, byte[]? sent, Reply reply)
    {
        if (reply.Header("X-Request-ID") is not { Length: > 0 })
            throw new XunitException($"{method} {pathAndQuery} was answered without X-Request-ID.");

        var faults = new List<string>();
        if (FindOperation(method, pathAndQuery.Split('?', 2)[0]) is not { } operation || reply.Status == 405)
        {
            Schema.Check(Schema.Component("schemas/Problem"), reply.Json, "$", faults);
        }
        else
        {
            if (!operation.GetProperty("responses").TryGetProperty(reply.Status.ToString(), out var response))
                throw new XunitException($"{method} {pathAndQuery}: status {reply.Status} is not in the contract. {reply}");
            CheckBody(method, Schema.Resolve(response), reply, faults);
            if (reply.Status < 300 && sent is { Length: > 0 } && operation.TryGetProperty("requestBody", out var body))
                CheckSent(body.GetProperty("content").GetProperty("application/json").GetProperty("schema"), sent, faults);
        }

        if (faults.Count > 0)
            throw new XunitException($"{method} {pathAndQuery} is not as the contract says: {string.Join("; ", faults.Take(10))}. {reply}");
    }

    private static void CheckBody(HttpMethod method, JsonElement response, Reply reply, List<string> faults)
    {
        if (!response.TryGetProperty("content", out var content) || method == HttpMethod.Head)
        {
            if (reply.Body.Length > 0)
                faults.Add("there is a body");
            return;
        }

        var type = reply.Header("Content-Type")?.Split(';')[0];
        if (type is null || !content.TryGetProperty(type, out var media))
            faults.Add($"content type {type} is not one of {string.Join(", ", content.EnumerateObject().Select(known => known.Name))}");
        else
            Schema.Check(media.GetProperty("schema"), reply.Json, "$", faults);
    }

    // A member that is null says "none"; the contract leaves it out.
    private static void CheckSent(JsonElement schema, byte[] sent, List<string> faults)
    {
        var given = JsonNode.Parse(sent)!;
        RemoveNulls(given);
        Schema.Check(schema, JsonSerializer.SerializeToElement(given), "sent", faults);
    }

    private static void RemoveNulls(JsonNode? node)
    {
        if (node is JsonArray array)
        {
            foreach (var item in array)
                RemoveNulls(item);
        }
        else if (node is JsonObject members)
        {
            foreach (var (name, value) in members.ToArray())
            {
                if (value is null)
                    members.Remove(name);
                else
                    RemoveNulls(value);
            }
        }
    }

    private static JsonElement? FindOperation(HttpMethod method, string path)
    {
        var verb = method == HttpMethod.Head ? "get" : method.Method.ToLowerInvariant();
        foreach (var known in Paths)
        {
            // A path with servers of its own is answered by the other port.
            if (known.Path.IsMatch(path) && !known.Item.TryGetProperty("servers", out _) && known.Item.TryGetProperty(verb, out var operation))
                return operation;
        }

        return null;
    }

    private static byte[] Read()
    {
        using var stream = typeof(ApprovedContract).Assembly.GetManifestResourceStream("approved-openapi.json")!;
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }
}
