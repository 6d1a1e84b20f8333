using System.Text.Json.Nodes;

namespace Dispatch.Chaos.Tests.Toy;

/// <summary>What a caller asked for, and when: one line of the toy's journal.</summary>
public sealed record ToyRequest(long Now, string Method, string Path, string Agent, int? Attempt, string Body, int Max);

public sealed record ToyAnswer(int Status, JsonNode Body)
{
    public static ToyAnswer Refuse(int status, string code) => new(status, new JsonObject { ["code"] = code, ["status"] = status });
}

/// <summary>
/// As much of a task broker as the crash test can tell from a real one: its state is a function of the requests it
/// accepted, in order, so that a journal of them brings it back. It has no leases.
/// </summary>
/// <param name="bug">A planted fault: no-fence, no-keys.</param>
public sealed class ToyState(string? bug)
{
    private const int RetryDelayMs = 50;
    private readonly Dictionary<string, ToyTask> byId = [];
    private readonly List<ToyTask> inOrder = [];
    private readonly SortedDictionary<int, ToyTask> live = [];
    private readonly Dictionary<(string Caller, string Key), ToyTask> keys = [];
    private readonly Dictionary<string, HashSet<string>> agents = [];
    private long clock;

    /// <summary>Sequence of the last event.</summary>
    public long Sequence { get; private set; }

    public IEnumerable<ToyTask> NewestFirst => Enumerable.Reverse(inOrder);

    public ToyTask? Find(string id) => byId.GetValueOrDefault(id);

    public ToyAnswer Handle(ToyRequest request)
    {
        Advance(request.Now);
        var body = request.Body.Length > 0 ? JsonNode.Parse(request.Body) : null;
        var parts = request.Path.Split('/', StringSplitOptions.RemoveEmptyEntries)[2..];
        return (request.Method, parts) switch
        {
            ("POST", ["tasks"]) => Submit(request.Agent, body!),
            ("PATCH", ["tasks", var id]) => Cancel(id),
            ("POST", ["tasks", var id, "retry"]) => Retry(id),
            ("POST", ["tasks", var id, var verb]) => Post(request, id, verb, body!.AsObject()),
            ("PUT", ["agents", var agent]) => Join(agent, body!),
            ("DELETE", ["agents", var agent]) => Leave(agent),
            ("POST", ["agents", var agent, "work"]) => Exchange(agent, body!.AsObject(), request.Max),
            _ => ToyAnswer.Refuse(404, "not_found"),
        };
    }

    /// <summary>Ends what has run too long.</summary>
    public void Advance(long now)
    {
        clock = Math.Max(clock, now);
        foreach (var task in live.Values.Where(task => task.IsHeld && task.RunsOutAt <= clock).OrderBy(task => task.RunsOutAt).ThenBy(task => task.Attempt).ToList())
            Charge(task, "timeout", retryable: true, "task.timed_out", task.RunsOutAt);
    }

    public JsonArray Holdings(string agent) => new([.. live.Values.Where(task => task.IsHeld && task.Assignee == agent).Select(task => task.ToJson(whole: false))]);

    private ToyAnswer Submit(string caller, JsonNode body)
    {
        var specs = body is JsonArray many ? many.Select(one => one!.AsObject()).ToList() : [body.AsObject()];
        var known = specs.ConvertAll(spec => FindSubmitted(caller, spec));
        if (known.Any(task => task is not null))
        {
            if (known.Zip(specs).Any(pair => pair.First is null || !JsonNode.DeepEquals(pair.First.Spec, pair.Second)))
                return ToyAnswer.Refuse(409, "idempotency_mismatch");
            return new ToyAnswer(200, Shape(known!));
        }

        return new ToyAnswer(201, Shape(specs.ConvertAll(spec => Create(caller, spec))));

        JsonNode Shape(List<ToyTask> tasks) => body is JsonArray ? new JsonArray([.. tasks.Select(task => task.ToJson(whole: false))]) : tasks[0].ToJson(whole: false);
    }

    private ToyTask? FindSubmitted(string caller, JsonObject spec) =>
        spec["id"] is { } id ? Find(id.GetValue<string>())
        : spec["idempotency_key"] is { } key && bug != "no-keys" ? keys.GetValueOrDefault((caller, key.GetValue<string>()))
        : null;

    private ToyTask Create(string caller, JsonObject spec)
    {
        var id = spec["id"]?.GetValue<string>() ?? $"00000000-0000-7000-8000-{Sequence + 1:x12}";
        var task = new ToyTask(id, inOrder.Count, caller, spec.DeepClone().AsObject());
        if (spec["run_at"] is { } due)
            task.NotBefore = DateTimeOffset.Parse(due.GetValue<string>()).ToUnixTimeMilliseconds();
        byId.Add(id, task);
        live.Add(inOrder.Count, task);
        inOrder.Add(task);
        if (spec["idempotency_key"] is { } key)
            keys[(caller, key.GetValue<string>())] = task;
        Raise(task, "task.created");
        Unblock(task);
        return task;
    }

    private ToyAnswer Cancel(string id)
    {
        if (Find(id) is not { } task)
            return ToyAnswer.Refuse(404, "task_not_found");
        if (task.IsFinal)
            return ToyAnswer.Refuse(409, "task_state");
        CancelWithDependants(task);
        return new ToyAnswer(200, task.ToJson(whole: false));
    }

    private ToyAnswer Retry(string id)
    {
        if (Find(id) is not { } task)
            return ToyAnswer.Refuse(404, "task_not_found");
        if (!task.IsFinal || task.Status == "completed")
            return ToyAnswer.Refuse(409, "task_state");
        task.Status = "pending";
        live.Add(task.Number, task);
        task.RetryCount = 0;
        Raise(task, "task.retried", ("manual", true));
        Unblock(task);
        return new ToyAnswer(200, task.ToJson(whole: false));
    }

    private ToyAnswer Post(ToyRequest request, string id, string verb, JsonObject body)
    {
        if (Find(id) is not { } task)
            return ToyAnswer.Refuse(404, "task_not_found");
        var outcome = verb switch { "complete" => "completed", "fail" => "failed", "release" => "released", "start" => "started", _ => verb };
        return Report(task, request.Agent, request.Attempt ?? body["attempt"]!.GetValue<int>(), outcome, body) == "stale"
            ? ToyAnswer.Refuse(409, "stale_attempt")
            : new ToyAnswer(200, task.ToJson(whole: false));
    }

    private string Report(ToyTask task, string agent, int attempt, string outcome, JsonObject body)
    {
        if (task.Attempts.LastOrDefault() is { } last && !task.IsHeld && task.LastAgent == agent && task.Attempt == attempt && (string?)last["outcome"] == outcome)
            return "unchanged";
        if (!task.IsHeldBy(agent, attempt) && !(bug == "no-fence" && task.IsHeld))
            return "stale";

        switch (outcome)
        {
            case "completed":
                task.Result = body["result"]?.DeepClone();
                End(task, "completed", "completed", "task.completed");
                live.Remove(task.Number);
                foreach (var dependant in live.Values.Where(other => other.Status == "blocked" && other.DependsOn.Contains(task.Id)).ToList())
                    Unblock(dependant);
                break;
            case "failed":
                Charge(task, "failed", body["retryable"]?.GetValue<bool>() ?? true, "task.failed", clock);
                break;
            case "released":
                End(task, "released", "pending", "task.released");
                break;
            default:
                if (task.Status == "assigned")
                {
                    task.Status = "running";
                    task.StartedAt = clock;
                    Raise(task, "task.started", ("attempt", attempt));
                }

                break;
        }

        return "accepted";
    }

    private ToyAnswer Join(string agent, JsonNode body)
    {
        agents[agent] = body["capabilities"]!.AsArray().Select(name => name!.GetValue<string>()).ToHashSet();
        return new ToyAnswer(200, new JsonObject { ["id"] = agent });
    }

    private ToyAnswer Leave(string agent)
    {
        if (!agents.Remove(agent))
            return ToyAnswer.Refuse(404, "agent_not_found");
        foreach (var task in live.Values.Where(task => task.IsHeld && task.Assignee == agent).ToList())
            End(task, "released", "pending", "task.released");
        return new ToyAnswer(200, new JsonObject { ["id"] = agent });
    }

    private ToyAnswer Exchange(string agent, JsonObject body, int max)
    {
        if (!agents.TryGetValue(agent, out var capabilities))
            return ToyAnswer.Refuse(404, "agent_not_found");
        var reports = body["reports"] is JsonArray sent ? sent.Select(report => report!.AsObject()).ToList() : [];
        var answers = reports.ConvertAll(report =>
        {
            var id = report["task_id"]!.GetValue<string>();
            var attempt = report["attempt"]!.GetValue<int>();
            return (JsonNode)new JsonObject
            {
                ["task_id"] = id,
                ["attempt"] = attempt,
                ["status"] = Find(id) is { } task ? Report(task, agent, attempt, report["outcome"]!.GetValue<string>(), report) : "unknown",
            };
        });

        var held = (body["holding"]?.AsArray() ?? []).Select(entry => entry!["task_id"]!.GetValue<string>()).ToHashSet();
        var again = live.Values.Where(task => task.Status == "assigned" && task.Assignee == agent && !held.Contains(task.Id)).Take(max).ToList();
        var fresh = live.Values.Where(task => task.Status == "pending" && task.NotBefore <= clock && task.Needs.All(capabilities.Contains)).Take(max - again.Count).ToList();
        foreach (var task in fresh)
            Assign(task, agent);
        return new ToyAnswer(200, new JsonObject
        {
            ["reports"] = new JsonArray([.. answers]),
            ["tasks"] = new JsonArray([.. again.Concat(fresh).Select(task => task.ToJson(whole: false))]),
            ["cancelled"] = new JsonArray(),
        });
    }

    private void Assign(ToyTask task, string agent)
    {
        task.Status = "assigned";
        task.Assignee = task.LastAgent = agent;
        task.AssignedAt = clock;
        task.StartedAt = 0;
        task.Attempt++;
        Raise(task, "task.assigned", ("attempt", task.Attempt), ("agent", agent));
    }

    /// <param name="at">When it happened: for a time limit not when it was noticed, or a replay would differ.</param>
    private void Charge(ToyTask task, string outcome, bool retryable, string type, long at)
    {
        End(task, outcome, outcome, type);
        if (retryable && task.RetryCount < task.Spec["max_retries"]!.GetValue<int>())
        {
            task.Status = "pending";
            task.RetryCount++;
            task.NotBefore = at + RetryDelayMs;
            Raise(task, "task.retried", ("manual", false));
            return;
        }

        live.Remove(task.Number);
        Raise(task, "task.dead_lettered");
        CancelDependants(task);
    }

    /// <param name="outcome">How the attempt ended, if there was one.</param>
    private void End(ToyTask task, string outcome, string status, string type)
    {
        if (task.IsHeld)
        {
            var attempt = new JsonObject { ["attempt"] = task.Attempt, ["agent"] = task.Assignee, ["outcome"] = outcome };
            if (task.StartedAt > 0)
                attempt["started_at"] = task.StartedAt;
            task.Attempts.Add(attempt);
        }

        task.Status = status;
        Raise(task, type, ("attempt", task.Attempt));
    }

    private void CancelWithDependants(ToyTask task)
    {
        // Two ways can lead to one dependant.
        if (!live.Remove(task.Number))
            return;
        End(task, "cancelled", "cancelled", "task.cancelled");
        CancelDependants(task);
    }

    private void CancelDependants(ToyTask task)
    {
        foreach (var dependant in live.Values.Where(other => other.Status == "blocked" && other.DependsOn.Contains(task.Id)).ToList())
            CancelWithDependants(dependant);
    }

    private void Unblock(ToyTask task)
    {
        var dependencies = task.DependsOn.Select(id => byId[id]).ToList();
        if (dependencies.Exists(other => other.IsFinal && other.Status != "completed"))
            CancelWithDependants(task);
        else
            task.Status = dependencies.TrueForAll(other => other.Status == "completed") ? "pending" : "blocked";
    }

    private void Raise(ToyTask task, string type, params (string Name, JsonNode Value)[] data) => task.Events.Add(new JsonObject
    {
        ["sequence"] = ++Sequence,
        ["type"] = type,
        ["data"] = new JsonObject(data.Select(member => KeyValuePair.Create(member.Name, (JsonNode?)member.Value))),
    });
}
