using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Xunit.Sdk;

namespace Dispatch.Api.Tests.Support;

/// <summary>One caller's view of the API. Every answer is compared with the approved contract.</summary>
public sealed class ApiClient(HttpClient http, Func<Uri> url, string? agent, string? bearer)
{
    private static readonly JsonSerializerOptions Options = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public string Agent => agent ?? "";

    public Task<Reply> GetAsync(string path, CancellationToken cancel = default) => SendAsync(HttpMethod.Get, path, null, cancel: cancel);

    public Task<Reply> DeleteAsync(string path) => SendAsync(HttpMethod.Delete, path, null);

    /// <param name="body">JSON text, or an object to be written as JSON; null: no body.</param>
    public Task<Reply> PostAsync(string path, object? body = null, CancellationToken cancel = default) => SendAsync(HttpMethod.Post, path, Content(body), cancel: cancel);

    public Task<Reply> PutAsync(string path, object? body = null) => SendAsync(HttpMethod.Put, path, Content(body));

    public Task<Reply> PatchAsync(string path, object? body = null) => SendAsync(HttpMethod.Patch, path, Content(body));

    public Task<Reply> SendAsync(HttpMethod method, string path, HttpContent? content, params (string Name, string Value)[] headers) =>
        SendAsync(method, path, content, default, headers);

    public async Task<Reply> SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancel, params (string Name, string Value)[] headers)
    {
        var sent = content is null ? null : await content.ReadAsByteArrayAsync(cancel);
        for (var attempt = 1; ; attempt++)
        {
            using var request = new HttpRequestMessage(method, path.StartsWith('/') ? new Uri(url(), path) : new Uri(path));
            if (sent is not null)
                request.Content = new ByteArrayContent(sent) { Headers = { ContentType = content!.Headers.ContentType } };
            if (agent is not null)
                Assert.True(request.Headers.TryAddWithoutValidation("X-Agent-ID", agent));
            if (bearer is not null)
                request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", bearer);
            foreach (var (name, value) in headers)
                Assert.True(request.Headers.TryAddWithoutValidation(name, value));
            try
            {
                using var response = await http.SendAsync(request, cancel);
                var reply = new Reply((int)response.StatusCode, await response.Content.ReadAsByteArrayAsync(cancel), response);
                ApprovedContract.Check(method, request.RequestUri!.PathAndQuery, sent, reply);
                return reply;
            }
            catch (HttpRequestException e) when (e.InnerException is IOException && sent?.Length > RefusedEarly && attempt < 20)
            {
                // The server refuses a body that is too large without reading it and closes; whether a client that is still sending gets
                // to see the answer is up to the network (RFC 9110, 15.5.14). It asks again until it does.
            }
        }
    }

    private const int RefusedEarly = 1_000_000;

    /// <summary>Submits one task and returns it.</summary>
    public async Task<JsonElement> SubmitAsync(object task) => (await PostAsync("/api/v1/tasks", task)).Expect(201);

    /// <summary>Submits one task that asks for the capability, and returns its id.</summary>
    public async Task<string> SubmitForAsync(string capability, string title = "work") =>
        (await SubmitAsync(new { title, required_capabilities = new[] { capability } })).Id();

    public async Task<JsonElement> TaskAsync(string id) => (await GetAsync($"/api/v1/tasks/{id}")).Expect(200);

    public async Task<string> StatusAsync(string id) => (await TaskAsync(id)).Text("status");

    /// <summary>The task once it is final.</summary>
    public async Task<JsonElement> EndOfAsync(string id) =>
        await Eventually.GetAsync(
            async () => (await GetAsync($"/api/v1/tasks/{id}?wait_ms=10000")).Expect(200),
            task => task.Text("status") is "completed" or "failed" or "timeout" or "cancelled", $"task {id} ends");

    /// <summary>The task once it has that status.</summary>
    public Task<JsonElement> ReachesAsync(string id, string status) =>
        Eventually.GetAsync(() => TaskAsync(id), task => task.Text("status") == status, $"task {id} is {status}");

    public static HttpContent? Content(object? body) => body switch
    {
        null => null,
        HttpContent content => content,
        string json => Json(Encoding.UTF8.GetBytes(json)),
        byte[] json => Json(json),
        _ => Json(JsonSerializer.SerializeToUtf8Bytes(body, Options)),
    };

    private static ByteArrayContent Json(byte[] json) => new(json) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
}

/// <summary>An answer.</summary>
public sealed class Reply(int status, byte[] body, HttpResponseMessage response)
{
    private readonly Dictionary<string, string> headers = response.Headers.Concat(response.Content.Headers)
        .ToDictionary(header => header.Key, header => string.Join(", ", header.Value), StringComparer.OrdinalIgnoreCase);

    public int Status => status;

    public byte[] Body => body;

    public string Text => Encoding.UTF8.GetString(body);

    public JsonElement Json { get; } = body.Length == 0 ? default : JsonDocument.Parse(body).RootElement;

    public string? Header(string name) => headers.GetValueOrDefault(name);

    /// <summary>The body, of an answer with this status.</summary>
    public JsonElement Expect(int expected) => status == expected ? Json : throw new XunitException($"Status {status}, not {expected}: {this}");

    /// <summary>The problem, which must have this status and code.</summary>
    public JsonElement ExpectProblem(int expected, string code)
    {
        var problem = Expect(expected);
        Assert.Equal("application/problem+json", Header("Content-Type"));
        Assert.Equal(code, problem.Text("code"));
        Assert.Equal(problem.Text("detail"), problem.Text("error"));
        Assert.Equal(Header("X-Request-ID"), problem.Text("request_id"));
        return problem;
    }

    /// <summary>The fields named by a refusal of what was sent.</summary>
    public string[] ExpectFaults() => [.. ExpectProblem(400, "validation").GetProperty("errors").EnumerateArray().Select(fault => fault.Text("field"))];

    public override string ToString() => $"{status} {(Text.Length > 2000 ? Text[..2000] : Text)}";
}

/// <summary>Short ways to look into JSON.</summary>
public static class JsonLook
{
    public static string Text(this JsonElement json, string member) => json.GetProperty(member).GetString()!;

    public static string? Find(this JsonElement json, string member) => json.TryGetProperty(member, out var value) ? value.ToString() : null;

    public static int Number(this JsonElement json, string member) => json.GetProperty(member).GetInt32();

    public static string Id(this JsonElement task) => task.Text("id");

    public static JsonElement[] Items(this JsonElement json, string? member = null) => [.. (member is null ? json : json.GetProperty(member)).EnumerateArray()];

    public static string[] Ids(this JsonElement tasks) => [.. tasks.EnumerateArray().Select(task => task.Id())];

    public static DateTimeOffset Time(this JsonElement json, string member) => json.GetProperty(member).GetDateTimeOffset();
}

/// <summary>A registered agent at work.</summary>
public sealed class Worker(ApiClient api, string agent)
{
    public ApiClient Api => api;

    public string Agent => agent;

    public async Task<JsonElement> ExchangeAsync(object? body = null, int max = 10, int waitMs = 0, CancellationToken cancel = default) =>
        (await api.PostAsync($"/api/v1/agents/{agent}/work?max={max}&wait_ms={waitMs}", body, cancel)).Expect(200);

    /// <summary>The next task, waiting for it.</summary>
    public async Task<(string Id, int Attempt)> TakeAsync()
    {
        var answer = await Eventually.GetAsync(() => ExchangeAsync(max: 1, waitMs: 10_000), answer => answer.Items("tasks").Length == 1, $"{agent} is given a task");
        var task = answer.GetProperty("tasks")[0];
        return (task.Id(), task.Number("attempt"));
    }

    public async Task<JsonElement> CompleteAsync(string id, object? body = null) => (await api.PostAsync($"/api/v1/tasks/{id}/complete", body)).Expect(200);

    public async Task<JsonElement> FailAsync(string id, bool retryable = true) =>
        (await api.PostAsync($"/api/v1/tasks/{id}/fail", new { error = "it broke", retryable })).Expect(200);

    public async Task<JsonElement> BeatAsync(string? status = null) =>
        (await api.PostAsync($"/api/v1/agents/{agent}/heartbeat", status is null ? null : new { status })).Expect(200);
}
