using System.Text.Json;

namespace Dispatch.Chaos.Wire;

/// <summary>One request as it goes over the wire.</summary>
/// <param name="Path">Path and query.</param>
/// <param name="Agent">The caller: <c>X-Agent-ID</c>.</param>
/// <param name="Op">Operation id, sent as <c>X-Request-ID</c> so that the broker's log names it.</param>
/// <param name="Body">JSON, or empty for none.</param>
/// <param name="Attempt">Sent as <c>X-Task-Attempt</c> when given.</param>
public sealed record Request(string Method, string Path, string Agent, string Op, ReadOnlyMemory<byte> Body = default, int? Attempt = null);

/// <summary>A whole answer. Half an answer is none.</summary>
/// <param name="Link">The <c>Link</c> header, empty when absent.</param>
public sealed record Reply(int Status, byte[] Body, string Link)
{
    public bool IsSuccess => Status is >= 200 and < 300;

    /// <summary>
    /// The broker says that it did not do it. A failed commit (503 <c>store_unavailable</c>) and any other 5xx leave that open,
    /// except for the three codes that are given before anything is decided.
    /// </summary>
    public bool IsRefusal => Status is >= 400 and < 500 || Code is "busy" or "shutting_down" or "no_writer";

    /// <summary>The problem document's <c>code</c>, empty for a success or anything else.</summary>
    public string Code => IsSuccess || Body.Length == 0 ? "" : ReadCode();

    /// <exception cref="JsonException">The body is not JSON.</exception>
    public JsonElement Json()
    {
        var reader = new Utf8JsonReader(Body);
        return JsonElement.ParseValue(ref reader);
    }

    private string ReadCode()
    {
        try
        {
            var problem = Json();
            return problem.ValueKind == JsonValueKind.Object && problem.TryGetProperty("code", out var code) ? code.GetString() ?? "" : "";
        }
        catch (JsonException)
        {
            // Not a problem document, so it carries no code; the status is all there is.
            return "";
        }
    }
}
