using System.Text.Json.Nodes;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Tests.Toy;

/// <summary>A task of the toy broker. Times are Unix milliseconds.</summary>
/// <param name="number">Its place in the order of submission.</param>
public sealed class ToyTask(string id, int number, string requester, JsonObject spec)
{
    public string Id => id;

    public int Number => number;

    public string Requester => requester;

    /// <summary>As it was submitted.</summary>
    public JsonObject Spec => spec;

    public string Status { get; set; } = "pending";

    public string? Assignee { get; set; }

    public string? LastAgent { get; set; }

    public int Attempt { get; set; }

    public int RetryCount { get; set; }

    public JsonNode? Result { get; set; }

    public long NotBefore { get; set; }

    public long AssignedAt { get; set; }

    public long StartedAt { get; set; }

    public List<JsonObject> Attempts { get; } = [];

    public List<JsonObject> Events { get; } = [];

    public bool IsHeld => Status is "assigned" or "running";

    public bool IsFinal => TaskStatus.IsFinal(Status);

    public long RunsOutAt => Math.Max(AssignedAt, StartedAt) + spec["timeout_ms"]!.GetValue<long>();

    public IEnumerable<string> DependsOn => Texts("depends_on");

    public IEnumerable<string> Needs => Texts("required_capabilities");

    public bool IsHeldBy(string agent, int attempt) => IsHeld && Assignee == agent && Attempt == attempt;

    public JsonObject ToJson(bool whole)
    {
        var json = spec.DeepClone().AsObject();
        json["id"] = id;
        json["status"] = Status;
        json["requester"] = requester;
        json["attempt"] = Attempt;
        json["retry_count"] = RetryCount;
        json["depends_on"] = new JsonArray([.. DependsOn.Select(other => JsonValue.Create(other))]);
        if (IsHeld)
            json["assignee"] = Assignee;
        if (Result is not null)
            json["result"] = Result.DeepClone();
        if (whole)
            json["attempts"] = new JsonArray([.. Attempts.Select(attempt => attempt.DeepClone())]);
        return json;
    }

    private IEnumerable<string> Texts(string name) => spec[name] is JsonArray list ? list.Select(one => one!.GetValue<string>()) : [];
}
