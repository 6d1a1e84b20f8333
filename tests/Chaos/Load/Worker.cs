using System.Text.Json;
using System.Text.Json.Nodes;
using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Wire;

namespace Dispatch.Chaos.Load;

/// <summary>
/// An agent that speaks the work exchange as any program could: it works, fails, hands back, hangs up, falls silent,
/// leaves, comes back and reports late. It also lies, in ways that a correct broker must refuse.
/// </summary>
/// <param name="other">Another agent's name, to report under.</param>
/// <param name="leaseMs">The broker's lease: silence beyond it loses everything held.</param>
public sealed class Worker(Caller caller, IReadOnlyList<string> capabilities, string other, int leaseMs, Random random, RunClock clock)
{
    /// <summary>Of all workers.</summary>
    public const string Owner = "crew";

    private const int MaxConcurrent = 32;
    private readonly Dictionary<Grant, Held> inHand = [];
    private bool joined;
    private int results;
    private volatile bool isHonest;
    private volatile bool isToFallSilent;

    /// <summary>From now on it only does its work, so that what waits gets done.</summary>
    public void BeHonest() => isHonest = true;

    /// <summary>As soon as it holds work it makes no call for longer than a lease, and then reports as if nothing had been.</summary>
    public void FallSilent() => isToFallSilent = true;

    /// <inheritdoc cref="Client.RunAsync"/>
    public async Task RunAsync(CancellationToken stop, CancellationToken cancel)
    {
        while (!stop.IsCancellationRequested)
        {
            if (!joined)
                await JoinAsync(cancel);
            else if (isHonest)
                await ExchangeAsync(cancel);
            else
                await ActAsync(cancel);
        }
    }

    private async Task ActAsync(CancellationToken cancel)
    {
        if (isToFallSilent && inHand.Count > 0)
        {
            isToFallSilent = false;
            await Task.Delay(leaseMs + 400, cancel);
        }

        await (random.Next(1_000) switch
        {
            < 25 => HangUpAsync(cancel),
            < 50 => AskForHoldingsAsync(cancel),
            < 54 => LeaveAsync(cancel),
            < 300 when inHand.Count > 0 => PostAsync(PickHeld(), cancel),
            < 340 when inHand.Count > 0 => LieAsync(PickHeld(), cancel),
            _ => ExchangeAsync(cancel),
        });
    }

    private async Task JoinAsync(CancellationToken cancel)
    {
        var body = new JsonObject
        {
            ["capabilities"] = new JsonArray([.. capabilities.Select(name => JsonValue.Create(name))]),
            ["max_concurrent"] = MaxConcurrent,
            ["owner"] = Owner,
        };
        var done = await caller.PerformAsync(
            new Invocation.Join(), new Sending("PUT", "/api/v1/agents/" + caller.Actor, body), _ => new Answer.Done(), cancel);
        joined = done.IsOk;
    }

    /// <summary>Leaves with work in its hands, comes back, and reports on it: all of that work was taken back when it left.</summary>
    private async Task LeaveAsync(CancellationToken cancel)
    {
        var done = await caller.PerformAsync(
            new Invocation.Leave(), new Sending("DELETE", "/api/v1/agents/" + caller.Actor), _ => new Answer.Done(), cancel);
        joined = false;
        if (!done.IsOk)
            return;

        await JoinAsync(cancel);
        foreach (var held in inHand.Values.Where(held => !held.MayHaveEnded).Take(3).ToList())
            await SendPostAsync(Completion(caller.Actor, held.Grant.Task, held.Grant.Attempt), cancel);
        inHand.Clear();
    }

    private async Task AskForHoldingsAsync(CancellationToken cancel)
    {
        var done = await caller.PerformAsync(
            new Invocation.Holdings(), new Sending("GET", $"/api/v1/agents/{caller.Actor}/tasks"),
            reply => new Answer.Exchanged([], ReadGrants(reply.Json())), cancel);
        if (done.Answer is Answer.Exchanged answer)
            Accept(answer.Grants, timeoutMs: 1_000);
        else if (done.End == Phase.Refused)
            joined = false;
    }

    private async Task ExchangeAsync(CancellationToken cancel)
    {
        var reports = DrawReports();
        var longest = 1_000;
        List<Grant> cancelled = [];
        var done = await caller.PerformAsync(new Invocation.Exchange(reports), Exchanging(reports, DrawWait(reports)), reply =>
        {
            var json = reply.Json();
            longest = json.GetProperty("tasks").EnumerateArray().Select(task => task.GetProperty("timeout_ms").GetInt32()).DefaultIfEmpty(longest).Max();
            cancelled = ReadCancelled(json);
            return ReadExchanged(json, reports);
        }, cancel);

        if (done.Answer is Answer.Exchanged answer)
        {
            for (var index = 0; index < reports.Count; index++)
                Settle(reports[index], answer.Statuses[index] is "accepted" or "unchanged");
            foreach (var grant in cancelled)
                inHand.Remove(grant);
            Accept(answer.Grants, longest);
        }
        else if (done.End == Phase.Unknown)
        {
            Doubt(reports);
        }
        else if (!done.IsLater)
        {
            joined = false;
        }
    }

    private async Task HangUpAsync(CancellationToken cancel)
    {
        var reports = DrawReports();
        await caller.HangUpAsync(
            new Invocation.Exchange(reports), Exchanging(reports, waitMs: 300), TimeSpan.FromMilliseconds(random.Next(60)), cancel);
        Doubt(reports);
    }

    /// <summary>The next step of an attempt, by the single routes.</summary>
    private async Task PostAsync(Held held, CancellationToken cancel)
    {
        var report = held.ReadyAtUs <= clock.NowUs ? held.End(caller.Actor) : Begin(held);
        var done = await SendPostAsync(report, cancel);
        if (done.End == Phase.Unknown)
            Doubt([report]);
        else if (!done.IsLater)
            Settle(report, done.IsOk);
    }

    /// <summary>A report in another's name, or with an attempt number that is not the one given. Always a completion: nothing ended them.</summary>
    private async Task LieAsync(Held held, CancellationToken cancel)
    {
        var (task, attempt) = held.Grant;
        var lie = random.Next(3) switch
        {
            0 => Completion(other, task, attempt),
            1 when attempt > 1 => Completion(caller.Actor, task, attempt - 1),
            _ => Completion(caller.Actor, task, attempt + 1_000),
        };
        if (lie.Agent == caller.Actor && random.Next(2) == 0)
            await caller.PerformAsync(
                new Invocation.Exchange([lie]), Exchanging([lie], waitMs: 0, max: 0), reply => ReadExchanged(reply.Json(), [lie]), cancel);
        else
            await SendPostAsync(lie, cancel);
    }

    private Report Completion(string agent, string task, int attempt) => new(agent, task, attempt, "completed", NewResult(), MustBeRefused: true);

    private Task<Performed> SendPostAsync(Report report, CancellationToken cancel)
    {
        var verb = report.Outcome switch { "completed" => "complete", "failed" => "fail", "released" => "release", "started" => "start", var same => same };
        var body = Details(report);
        var inHeader = random.Next(2) == 0;
        if (!inHeader)
            body["attempt"] = report.Attempt;
        return caller.PerformAsync(
            new Invocation.Post(report),
            new Sending("POST", $"/api/v1/tasks/{report.Task}/{verb}", body, inHeader ? report.Attempt : null, report.Agent),
            reply => new Answer.Seen(reply.Json().ReadSight()), cancel);
    }

    private Sending Exchanging(IReadOnlyList<Report> reports, int waitMs, int? max = null)
    {
        var body = new JsonObject();
        if (reports.Count > 0)
            body["reports"] = new JsonArray([.. reports.Select(ToJson)]);
        if (isHonest || random.Next(10) < 7)
            body["holding"] = new JsonArray([.. inHand.Keys.Select(grant => new JsonObject { ["task_id"] = grant.Task, ["attempt"] = grant.Attempt })]);
        return new Sending("POST", $"/api/v1/agents/{caller.Actor}/work?max={max ?? random.Next(1, 21)}&wait_ms={waitMs}", body)
        {
            Wait = TimeSpan.FromMilliseconds(waitMs),
        };
    }

    private static JsonObject ToJson(Report report)
    {
        var json = Details(report);
        json["task_id"] = report.Task;
        json["attempt"] = report.Attempt;
        json["outcome"] = report.Outcome;
        return json;
    }

    private static JsonObject Details(Report report) => report.Outcome switch
    {
        "completed" => new JsonObject { ["result"] = new JsonObject { ["token"] = report.Result }, ["usage"] = new JsonObject { ["tokens_in"] = 900, ["tokens_out"] = 200, ["requests"] = 3 } },
        "failed" => new JsonObject { ["error"] = "it did not work", ["retryable"] = report.Retryable },
        "progress" => new JsonObject { ["percent"] = 50, ["message"] = "half-way" },
        _ => [],
    };

    private List<Report> DrawReports()
    {
        var reports = new List<Report>();
        foreach (var held in inHand.Values.ToList())
        {
            if (isHonest)
                (held.Plan, held.ReadyAtUs) = (Plan.Complete, 0);
            if (held.ReadyAtUs <= clock.NowUs)
                reports.Add(held.End(caller.Actor));
            else if (!held.IsStarted && (held.Plan is Plan.CompleteLate or Plan.Abandon || random.Next(3) == 0))
                reports.Add(Begin(held));
        }

        if (reports.Count > 0 && random.Next(30) == 0)
            reports.Add(reports[0]);
        return reports;
    }

    private Report Begin(Held held) =>
        new(caller.Actor, held.Grant.Task, held.Grant.Attempt, random.Next(2) == 0 ? "started" : "progress", Result: null);

    /// <summary>The broker has said yes or no to it.</summary>
    private void Settle(Report report, bool accepted)
    {
        var grant = new Grant(report.Task, report.Attempt);
        if (!inHand.TryGetValue(grant, out var held))
            return;
        held.IsStarted = true;
        if (!accepted || report.Outcome is not ("started" or "progress") || held.Plan == Plan.Abandon)
            inHand.Remove(grant);
    }

    private void Doubt(IEnumerable<Report> reports)
    {
        foreach (var report in reports.Where(report => report.Outcome is not ("started" or "progress")))
        {
            if (inHand.TryGetValue(new Grant(report.Task, report.Attempt), out var held))
                held.MayHaveEnded = true;
        }
    }

    /// <summary>Takes work in hand. What it holds already was only delivered again.</summary>
    private void Accept(IEnumerable<Grant> grants, int timeoutMs)
    {
        foreach (var grant in grants.Where(grant => !inHand.ContainsKey(grant)))
        {
            var plan = random.Next(100) switch
            {
                < 68 => Plan.Complete,
                < 79 => Plan.Fail,
                < 82 => Plan.FailForGood,
                < 90 => Plan.Release,
                < 96 => Plan.CompleteLate,
                _ => Plan.Abandon,
            };
            var workUs = plan switch
            {
                Plan.CompleteLate => (timeoutMs + random.Next(50, 400)) * 1_000L,
                Plan.Abandon => long.MaxValue / 2,
                _ => random.Next(30_000),
            };
            inHand.Add(grant, new Held(grant, plan, clock.NowUs + workUs, NewResult()));
        }
    }

    private int DrawWait(List<Report> reports) => reports.Count > 0 || random.Next(4) == 0 ? 0 : random.Next(20, 200);

    private string NewResult() => $"{caller.Actor}:{++results}";

    private Held PickHeld() => inHand.Values.ElementAt(random.Next(inHand.Count));

    private static Answer.Exchanged ReadExchanged(JsonElement json, IReadOnlyList<Report> reports)
    {
        var answers = json.TryGetProperty("reports", out var said) ? said.EnumerateArray().ToList() : [];
        if (!answers.Select(answer => answer.Text("task_id")).SequenceEqual(reports.Select(report => report.Task)))
            throw new JsonException($"{reports.Count} reports, and the answers are not theirs in the order sent");
        return new Answer.Exchanged(answers.ConvertAll(answer => answer.Text("status")), ReadGrants(json.GetProperty("tasks")));
    }

    private static List<Grant> ReadGrants(JsonElement tasks) =>
        tasks.EnumerateArray().Select(task => new Grant(task.Text("id"), task.GetProperty("attempt").GetInt32())).ToList();

    private static List<Grant> ReadCancelled(JsonElement json) => json.TryGetProperty("cancelled", out var list)
        ? list.EnumerateArray().Select(entry => new Grant(entry.Text("task_id"), entry.GetProperty("attempt").GetInt32())).ToList()
        : [];
}
