using System.Text.Json;
using System.Text.Json.Nodes;

namespace Dispatch.Client.Tests;

/// <summary>What goes wrong with a request.</summary>
internal enum Fault
{
    None,

    /// <summary>503; nothing happened.</summary>
    Unavailable,

    /// <summary>The connection is cut; nothing happened.</summary>
    CutBefore,

    /// <summary>It happened, but the connection is cut before the answer.</summary>
    AnswerLost,
}

/// <summary>A task in the played broker, and what it was told about it.</summary>
internal sealed class PlayedTask(string id, JsonObject context)
{
    public string Id { get; } = id;
    public JsonObject Context { get; } = context;
    public string Status { get; set; } = "pending";
    public int Attempt { get; set; }
    public bool CancelAsked { get; set; }

    /// <summary>Reports that counted, in order.</summary>
    public List<JsonObject> Accepted { get; } = [];

    /// <summary>Reports that changed nothing: said before, or stale.</summary>
    public List<JsonObject> Ignored { get; } = [];
    public int Deliveries { get; set; }
    public JsonObject? Last => Accepted.LastOrDefault();
}

/// <summary>
/// A broker for one agent that keeps to the exchange's contract: fencing by attempt, redelivery of what is neither started nor named,
/// long polls, cancellation, sleep. Faults are put between it and the wire.
/// </summary>
internal sealed class PlayedBroker : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, PlayedTask> tasks = [];
    private readonly List<PlayedTask> order = [];
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private LoopbackServer? server;
    private int openCalls;
    private int maxConcurrent = 3;

    public Func<Received, Fault> Faults { get; set; } = _ => Fault.None;

    /// <summary>Answers a request in place of the broker, when it returns something.</summary>
    public Func<Received, Reply?> Instead { get; set; } = _ => null;
    public bool Registered { get; set; }
    public int Registrations { get; private set; }
    public bool Left { get; private set; }
    public string Status { get; private set; } = "";
    public List<string> StatusesSaid { get; } = [];
    public bool WakeAsked { get; private set; }
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(30);
    public int OpenPolls { get; private set; }
    public int MostOpenCalls { get; private set; }
    public LoopbackServer Server => server!;

    public async Task<PlayedBroker> StartAsync(int port = 0)
    {
        server = await LoopbackServer.StartAsync(AnswerAsync, port, bodyLimit: 1 << 20);
        return this;
    }

    public async ValueTask DisposeAsync() => await server!.DisposeAsync();

    public PlayedTask Submit(string? context = null)
    {
        lock (gate)
        {
            var task = new PlayedTask($"task-{order.Count}", (JsonObject)JsonNode.Parse(context ?? "{}")!);
            tasks.Add(task.Id, task);
            order.Add(task);
            if (Status == "sleeping")
                WakeAsked = true;
            Changed();
            return task;
        }
    }

    public void Cancel(PlayedTask task)
    {
        lock (gate)
        {
            task.CancelAsked = true;
            task.Status = "cancelled";
            Changed();
        }
    }

    /// <summary>The lease ran out: somebody else has the task now.</summary>
    public void TakeAway(PlayedTask task)
    {
        lock (gate)
        {
            task.Attempt++;
            task.Status = "elsewhere";
            Changed();
        }
    }

    /// <summary>Reads a consistent view.</summary>
    public T See<T>(Func<T> view)
    {
        lock (gate)
            return view();
    }

    private async Task<Reply> AnswerAsync(Received request)
    {
        lock (gate)
            MostOpenCalls = Math.Max(MostOpenCalls, ++openCalls);
        try
        {
            if (Instead(request) is { } reply)
                return reply;
            var fault = Faults(request);
            if (fault == Fault.Unavailable)
                return Reply.Problem(503, "store_unavailable", retryAfter: "0");
            if (fault == Fault.CutBefore)
                return Reply.Cut;
            var answer = await RouteAsync(request);
            return fault == Fault.AnswerLost ? Reply.Cut : answer;
        }
        finally
        {
            lock (gate)
                openCalls--;
        }
    }

    private async Task<Reply> RouteAsync(Received request)
    {
        if (request.Method == "PUT")
            return Register(request);
        if (request.Method == "DELETE")
            return Leave();
        if (!See(() => Registered))
            return Reply.Problem(404, "agent_not_found", "Who are you?");
        return request.Path.EndsWith("/heartbeat", StringComparison.Ordinal) ? Heartbeat(request) : await ExchangeAsync(request);
    }

    private Reply Register(Received request)
    {
        lock (gate)
        {
            Registered = true;
            Registrations++;
            Say(request.Json);
            maxConcurrent = request.Json.GetProperty("max_concurrent").GetInt32();
            return Reply.Ok(Wire.Agent);
        }
    }

    private Reply Leave()
    {
        lock (gate)
        {
            Left = true;
            Registered = false;
            return Reply.Ok("""{"id":"agent-1","returned":0}""");
        }
    }

    private Reply Heartbeat(Received request)
    {
        lock (gate)
        {
            Say(request.Json);
            var seen = new DateTimeOffset(2026, 11, 20, 8, 0, 10, TimeSpan.Zero);
            return Reply.Ok($$"""{"agent":{{Wire.Agent}},"lease_expires_at":"{{seen + Lease:yyyy-MM-ddTHH:mm:ss.fffZ}}","cancelled":{{TakeCancelled().ToJsonString()}}{{(WakeAsked ? ",\"wake\":true" : "")}}}""");
        }
    }

    private async Task<Reply> ExchangeAsync(Received request)
    {
        var body = JsonNode.Parse(request.Body)!.AsObject();
        var max = int.Parse(request.Parameter("max") ?? "1");
        var until = DateTimeOffset.UtcNow.AddMilliseconds(int.Parse(request.Parameter("wait_ms") ?? "0"));
        var answer = new JsonObject();
        var polls = request.Parameter("wait_ms") is not null;
        lock (gate)
        {
            Say(request.Json);
            if (body["reports"] is JsonArray reports)
                answer["reports"] = new JsonArray([.. reports.Select(report => Apply(report!.AsObject()))]);
            Changed();
            OpenPolls += polls ? 1 : 0;
        }
        var held = (body["holding"]?.AsArray() ?? []).Select(one => (one!["task_id"]!.GetValue<string>(), one["attempt"]!.GetValue<int>())).ToHashSet();
        try
        {
            while (true)
            {
                Task waiting;
                lock (gate)
                {
                    if (request.Gone.IsCancellationRequested)
                        return Reply.Cut;
                    var work = max > 0 && Status is not ("sleeping" or "degraded") ? Deliver(max, held) : [];
                    var cancelled = TakeCancelled();
                    if (work.Count > 0 || cancelled.Count > 0 || WakeAsked || !polls || DateTimeOffset.UtcNow >= until)
                    {
                        answer["tasks"] = work;
                        answer["cancelled"] = cancelled;
                        if (WakeAsked)
                            answer["wake"] = true;
                        return Reply.Ok(answer.ToJsonString());
                    }
                    waiting = changed.Task;
                }
                await Task.WhenAny(waiting, Task.Delay(until - DateTimeOffset.UtcNow > TimeSpan.Zero ? until - DateTimeOffset.UtcNow : TimeSpan.Zero, request.Gone));
            }
        }
        finally
        {
            lock (gate)
                OpenPolls -= polls ? 1 : 0;
        }
    }

    private JsonArray Deliver(int max, HashSet<(string, int)> held)
    {
        var work = new JsonArray();
        foreach (var task in order)
        {
            if (work.Count == max)
                break;
            var again = task.Status == "assigned" && !held.Contains((task.Id, task.Attempt));
            if (task.Status == "pending" && order.Count(other => other.Status is "assigned" or "running") < maxConcurrent)
            {
                task.Status = "assigned";
                task.Attempt++;
            }
            else if (!again)
            {
                continue;
            }
            task.Deliveries++;
            work.Add(JsonNode.Parse(Wire.Task(task.Id, "assigned", task.Attempt, context: task.Context.ToJsonString())));
        }
        return work;
    }

    private JsonNode Apply(JsonObject report)
    {
        var id = report["task_id"]!.GetValue<string>();
        var attempt = report["attempt"]!.GetValue<int>();
        var outcome = report["outcome"]!.GetValue<string>();
        var status = "unknown";
        if (tasks.TryGetValue(id, out var task))
        {
            var last = task.Last;
            var final = outcome is "completed" or "failed" or "released";
            if (last?["attempt"]!.GetValue<int>() == attempt && last["outcome"]!.GetValue<string>() == outcome && (final || outcome == "started"))
                status = "unchanged";
            else if (task.Attempt == attempt && task.Status is "assigned" or "running")
                status = "accepted";
            else
                status = "stale";
            (status == "accepted" ? task.Accepted : task.Ignored).Add((JsonObject)report.DeepClone());
            if (status == "accepted")
                task.Status = outcome switch { "completed" => "completed", "released" => "pending", "failed" => report["retryable"]?.GetValue<bool>() == false ? "failed" : "pending", _ => "running" };
        }
        return new JsonObject { ["task_id"] = id, ["attempt"] = attempt, ["status"] = status };
    }

    private JsonArray TakeCancelled()
    {
        var list = new JsonArray();
        foreach (var task in order.Where(task => task.CancelAsked))
        {
            task.CancelAsked = false;
            list.Add(new JsonObject { ["task_id"] = task.Id, ["attempt"] = task.Attempt, ["reason"] = "Not wanted any more." });
        }
        return list;
    }

    private void Say(JsonElement body)
    {
        if (!body.TryGetProperty("status", out var said))
            return;
        Status = said.GetString()!;
        StatusesSaid.Add(Status);
        if (Status == "ready")
            WakeAsked = false;
        Changed();
    }

    private void Changed()
    {
        var before = changed;
        changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        before.TrySetResult();
    }
}
