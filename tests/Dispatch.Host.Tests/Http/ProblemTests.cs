using System.Net;
using System.Text;
using System.Text.Json;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Tests.Http;

public sealed class ProblemTests
{
    [Fact]
    public async Task An_unknown_route_is_a_problem()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/api/v1/nothing?secret=1", agent: "a");

        JsonElement problem = await ReadAsync(response, HttpStatusCode.NotFound, "not_found");
        Assert.Equal("There is no route GET /api/v1/nothing.", problem.GetProperty("detail").GetString());
        Assert.Equal(problem.GetProperty("detail").GetString(), problem.GetProperty("error").GetString());
        Assert.Equal("https://dispatch.dev/errors/not_found", problem.GetProperty("type").GetString());
        Assert.Equal(404, problem.GetProperty("status").GetInt32());
        Assert.Equal(response.Headers.GetValues("X-Request-ID").Single(), problem.GetProperty("request_id").GetString());
        Assert.False(problem.TryGetProperty("errors", out _));
    }

    [Fact]
    public async Task A_wrong_method_is_a_problem_that_names_the_right_ones()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Delete, "/api/v1/whoami", agent: "a");

        await ReadAsync(response, HttpStatusCode.MethodNotAllowed, "method_not_allowed");
        Assert.Equal(["GET"], response.Content.Headers.Allow);
    }

    [Fact]
    public async Task An_exception_is_told_to_the_log_and_not_to_the_caller()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(map: app => app.MapGet("/api/v1/broken", context =>
        {
            context.Response.Headers.Location = "/half-done";
            throw new InvalidOperationException("inside knowledge");
        }));
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/api/v1/broken", agent: "a");

        JsonElement problem = await ReadAsync(response, HttpStatusCode.InternalServerError, "internal");
        Assert.DoesNotContain("inside", problem.GetRawText());
        Assert.Null(response.Headers.Location);
        string line = await host.LogLineAsync("inside knowledge");
        Assert.Equal(problem.GetProperty("request_id").GetString(), JsonDocument.Parse(line).RootElement.GetProperty("request_id").GetString());
    }

    [Fact]
    public async Task An_exception_after_the_answer_has_begun_ends_the_connection()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(map: app => app.MapGet("/broken", async context =>
        {
            await context.Response.WriteAsync("half");
            await context.Response.Body.FlushAsync();
            throw new InvalidOperationException("too late");
        }));

        await Assert.ThrowsAnyAsync<HttpRequestException>(() => host.SendAsync(HttpMethod.Get, "/broken"));
        await host.LogLineAsync("too late");
    }

    [Fact]
    public async Task A_refusing_store_is_a_503_that_says_when_to_come_back()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(map: app => app.MapGet("/store", _ => throw new StoreException(StoreFault.Full, "disk full at /secret/place")));
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/store");

        JsonElement problem = await ReadAsync(response, HttpStatusCode.ServiceUnavailable, "store_unavailable");
        Assert.DoesNotContain("secret", problem.GetRawText());
        Assert.Equal(TimeSpan.FromSeconds(1), response.Headers.RetryAfter?.Delta);
    }

    [Fact]
    public async Task A_body_over_the_limit_is_refused()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(
            new DispatchConfig { Limits = new LimitSettings { BodyBytes = 1024 } },
            app => app.MapPost("/echo", context => context.Request.Body.CopyToAsync(context.Response.Body)));

        Assert.Equal(HttpStatusCode.OK, (await host.SendAsync(HttpMethod.Post, "/echo", content: new ByteArrayContent(new byte[1024]))).StatusCode);

        JsonElement problem = await ReadAsync(
            await host.SendAsync(HttpMethod.Post, "/echo", content: new ByteArrayContent(new byte[1025])), HttpStatusCode.RequestEntityTooLarge, "payload_too_large");
        Assert.Contains("1024 bytes", problem.GetProperty("detail").GetString());
    }

    [Theory]
    [InlineData("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfgarbage\r\n", "HTTP/1.1 400", "validation")]
    [InlineData("POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n", "HTTP/1.1 413", "payload_too_large")]
    public async Task A_body_that_breaks_the_rules_is_a_problem(string request, string status, string code)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(
            new DispatchConfig { Limits = new LimitSettings { BodyBytes = 1024 } },
            map: app => app.MapPost("/read", async context =>
            {
                using var memory = new MemoryStream();
                await context.Request.Body.CopyToAsync(memory);
            }));

        if (status.EndsWith("413", StringComparison.Ordinal))
            request += new string('x', 2048) + "\r\n0\r\n\r\n";
        string answer = await host.SendRawAsync(request);

        Assert.StartsWith(status, answer);
        Assert.Contains($"\"code\":\"{code}\"", answer);
    }

    [Fact]
    public async Task A_body_that_breaks_off_is_a_bad_request()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(map: app => app.MapPost("/read", async context =>
        {
            using var memory = new MemoryStream();
            await context.Request.Body.CopyToAsync(memory);
        }));

        // The peer is gone: Kestrel sends no answer. What counts is that the endpoint did not go on with half a body.
        await host.SendRawAsync("POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf", closeSending: true);
        Assert.Contains("\"status\":400", await host.LogLineAsync("\"path\":\"/read\""));
    }

    [Fact]
    public async Task A_head_request_has_no_body()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Head, "/nothing");
        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task Every_fault_is_in_the_document_with_what_was_given()
    {
        JsonElement values = JsonDocument.Parse($$"""["{{new string('x', 200)}}", 12.50, true, null, {"a":1}]""").RootElement;
        await using HostUnderTest host = await HostUnderTest.StartAsync(map: app => app.MapGet("/faults", context => context.WriteProblemAsync(
            new Problem(ErrorCode.Validation, "Five \"faults\" \ud800.")
            {
                Errors = [.. Enumerable.Range(0, 5).Select(i => new FieldFault($"tasks[{i}].priority", "must be 0..10", values[i])), new FieldFault("b", "is missing")],
            })));

        JsonElement problem = await ReadAsync(await host.SendAsync(HttpMethod.Get, "/faults"), HttpStatusCode.BadRequest, "validation");
        JsonElement errors = problem.GetProperty("errors");
        Assert.Equal(6, errors.GetArrayLength());
        Assert.Equal("tasks[0].priority", errors[0].GetProperty("field").GetString());
        Assert.Equal(new string('x', 100) + "...", errors[0].GetProperty("value").GetString());
        Assert.Equal("12.50", errors[1].GetProperty("value").GetRawText());
        Assert.True(errors[2].GetProperty("value").GetBoolean());
        Assert.Equal(JsonValueKind.Null, errors[3].GetProperty("value").ValueKind);
        Assert.False(errors[4].TryGetProperty("value", out _));
        Assert.False(errors[5].TryGetProperty("value", out _));
    }

    [Fact]
    public void Codes_are_unique_and_all_of_them_are_in_the_table()
    {
        ErrorCode[] fields = [.. typeof(ErrorCode).GetFields().Where(field => field.IsStatic).Select(field => (ErrorCode)field.GetValue(null)!)];
        Assert.Equal(fields.Select(code => code.Name).Order(), ErrorCode.All.Select(code => code.Name).Order());
        Assert.Distinct(ErrorCode.All.Select(code => code.Name));
        Assert.Equal(ErrorCode.All.Select(code => code.Status).Order(), ErrorCode.All.Select(code => code.Status));
    }

    [Fact]
    public void Every_code_is_documented()
    {
        var page = new StringBuilder();
        page.Append("""
            # Errors

            <!-- Written from the table in src/Dispatch.Host/Http/Problems/ErrorCode.cs. Change that, then run the tests with UPDATE_DOCS=1. -->

            A refusal is a problem document (RFC 9457, `application/problem+json`) with the members `type`, `title`, `status`, `detail`, `error` (the
            same text as `detail`), `code`, `request_id` and, where single members are at fault, `errors`: `[{"field", "message", "value"?}]`. Go by
            `code`: it is never given a second meaning. Texts may change.

            | Code | Status | Title | What to do |
            |---|---|---|---|

            """);
        foreach (ErrorCode code in ErrorCode.All)
            page.Append("| `").Append(code.Name).Append("` | ").Append(code.Status).Append(" | ").Append(code.Title).Append(" | ").Append(code.Advice).Append(" |\n");
        GeneratedPage.Check("errors.md", page.ToString());
    }

    internal static async Task<JsonElement> ReadAsync(HttpResponseMessage response, HttpStatusCode status, string code)
    {
        string body = await response.Content.ReadAsStringAsync();
        Assert.Equal(status, response.StatusCode);
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.ToString());
        JsonElement problem = JsonDocument.Parse(body).RootElement;
        Assert.Equal(code, problem.GetProperty("code").GetString());
        Assert.Equal((int)status, problem.GetProperty("status").GetInt32());
        return problem;
    }
}
