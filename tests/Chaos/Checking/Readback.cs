using System.Text.Json;
using Dispatch.Chaos.Wire;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Checking;

/// <summary>Reads everything the broker holds, over HTTP, in the name of an agent that does nothing else.</summary>
/// <param name="isLogWhole">Whether every history must be whole; if not, those that are cut are marked.</param>
public sealed class Readback(int port, bool isLogWhole = true)
{
    private const int Page = 1_000;
    private const int Readers = 4;

    /// <summary>How many tasks are not final, counting no further than one page.</summary>
    public async Task<int> CountOpenAsync(CancellationToken cancel)
    {
        using var line = new Line(port);
        var reply = await GetAsync(line, $"/api/v1/tasks?status={string.Join(',', TaskStatus.Open)}&limit={Page}", cancel);
        return reply.Json().GetArrayLength();
    }

    /// <summary>All tasks with their attempts and histories.</summary>
    /// <exception cref="InvalidDataException">An answer that the contract rules out.</exception>
    public async Task<Snapshot> ReadAsync(bool isDrained, CancellationToken cancel)
    {
        var ids = await ListAsync(cancel);
        var tasks = new FinalTask[ids.Count];
        var next = -1;
        await Task.WhenAll(Enumerable.Range(0, Readers).Select(_ => ReadSomeAsync()));
        return new Snapshot(tasks, isDrained);

        async Task ReadSomeAsync()
        {
            using var line = new Line(port);
            while (Interlocked.Increment(ref next) is var index && index < ids.Count)
                tasks[index] = await ReadTaskAsync(line, ids[index], cancel);
        }
    }

    /// <summary>Why a task waits, in the broker's words.</summary>
    public async Task<string> ExplainAsync(string task, CancellationToken cancel)
    {
        using var line = new Line(port);
        return (await GetAsync(line, $"/api/v1/tasks/{task}/explain", cancel)).Json().FindText("message") ?? "no reason given";
    }

    private async Task<List<string>> ListAsync(CancellationToken cancel)
    {
        using var line = new Line(port);
        var ids = new List<string>();
        var path = $"/api/v1/tasks?limit={Page}";
        while (path.Length > 0)
        {
            var reply = await GetAsync(line, path, cancel);
            ids.AddRange(reply.Json().EnumerateArray().Select(task => task.Text("id")));
            path = NextPage(reply.Link);
        }

        return ids;
    }

    private async Task<FinalTask> ReadTaskAsync(Line line, string id, CancellationToken cancel)
    {
        var task = (await GetAsync(line, "/api/v1/tasks/" + id, cancel)).Json();
        var events = (await GetAsync(line, $"/api/v1/tasks/{id}/events", cancel)).Json();
        return new FinalTask(
            task.Text("id"), task.Token(), task.Text("status"), task.FindText("assignee"), task.GetProperty("attempt").GetInt32(),
            task.GetProperty("max_retries").GetInt32(), task.ResultToken(),
            task.GetProperty("depends_on").EnumerateArray().Select(other => other.GetString()!).ToList(),
            task.GetProperty("attempts").EnumerateArray().Select(ReadAttempt).ToList(),
            events.EnumerateArray().Select(ReadEvent).ToList())
        {
            IsCut = !isLogWhole && (events.GetArrayLength() == 0 || events[0].TryGetProperty("truncated", out _)),
        };
    }

    private static EndedAttempt ReadAttempt(JsonElement attempt) => new(
        attempt.GetProperty("attempt").GetInt32(), attempt.Text("agent"), attempt.Text("outcome"), attempt.TryGetProperty("started_at", out _));

    private static TaskEvent ReadEvent(JsonElement happened)
    {
        var data = happened.GetProperty("data");
        return new TaskEvent(
            happened.GetProperty("sequence").GetInt64(), happened.Text("type"),
            data.TryGetProperty("attempt", out var attempt) ? attempt.GetInt32() : null, data.FindText("agent"),
            data.TryGetProperty("manual", out var manual) && manual.GetBoolean());
    }

    private static async Task<Reply> GetAsync(Line line, string path, CancellationToken cancel)
    {
        await line.ConnectAsync(cancel);
        var reply = await line.SendAsync(new Request("GET", path, "chaos-auditor", "readback"), cancel);
        return reply is { IsSuccess: true } ? reply
            : throw new InvalidDataException($"GET {path} was answered {reply?.Status.ToString() ?? "by nothing"} {reply?.Code}");
    }

    /// <summary>The target of <c>rel="next"</c>, empty when there is none.</summary>
    private static string NextPage(string link)
    {
        var next = link.Split(',').FirstOrDefault(one => one.Contains("rel=\"next\"", StringComparison.Ordinal));
        return next is null ? "" : next[(next.IndexOf('<', StringComparison.Ordinal) + 1)..next.IndexOf('>', StringComparison.Ordinal)];
    }
}
