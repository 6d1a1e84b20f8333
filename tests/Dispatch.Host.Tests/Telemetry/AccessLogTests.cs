using System.Text;
using System.Text.Json;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Telemetry;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Tests.Telemetry;

public sealed class AccessLogTests
{
    [Fact]
    public async Task A_request_is_one_line_without_anything_that_may_be_secret()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(map: app => app.MapPost("/api/v1/echo/{id}", async context =>
        {
            context.Response.StatusCode = 201;
            context.Response.ContentLength = 5;
            await context.Response.WriteAsync("12345");
        }));
        await host.SendAsync(
            HttpMethod.Post, "/api/v1/echo/7?key=hush-query", "coder-1", HostUnderTest.AdminSecret, new StringContent("hush-body"), ("X-Request-ID", "r-1"), ("Cookie", "hush-cookie"));

        JsonElement line = JsonDocument.Parse(await host.LogLineAsync("\"logger\":\"access\"")).RootElement;
        Assert.Equal("POST", line.GetProperty("method").GetString());
        Assert.Equal("/api/v1/echo/7", line.GetProperty("path").GetString());
        Assert.Equal(201, line.GetProperty("status").GetInt32());
        Assert.InRange(line.GetProperty("duration_us").GetInt64(), 1, 60_000_000);
        Assert.Equal("coder-1", line.GetProperty("caller").GetString());
        Assert.True(line.GetProperty("admin").GetBoolean());
        Assert.Equal(5, line.GetProperty("bytes").GetInt32());
        Assert.Equal("r-1", line.GetProperty("request_id").GetString());
        Assert.EndsWith("Z", line.GetProperty("ts").GetString());
        Assert.DoesNotContain("hush", host.Log());
        Assert.DoesNotContain(HostUnderTest.AdminSecret, host.Log());
    }

    [Fact]
    public async Task A_path_can_not_forge_a_line()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        await host.SendRawAsync("GET /a%0d%0a%22,%22status%22:200%7d%0aforged HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        JsonElement line = JsonDocument.Parse(await host.LogLineAsync("forged")).RootElement;
        Assert.Equal(404, line.GetProperty("status").GetInt32());
        Assert.Equal("/a\r\n\",\"status\":200}\nforged", line.GetProperty("path").GetString());
    }

    [Theory]
    [InlineData(AccessLogging.All, LogLevel.Information, 2)]
    [InlineData(AccessLogging.All, LogLevel.Error, 2)]
    [InlineData(AccessLogging.Errors, LogLevel.Information, 1)]
    [InlineData(AccessLogging.Off, LogLevel.Information, 0)]
    [InlineData(AccessLogging.All, LogLevel.None, 0)]
    public void What_is_told_is_configured(AccessLogging access, LogLevel level, int expected)
    {
        var stream = new LogCapture();
        using LogOutput output = Output(stream);
        var log = new AccessLog(output, new LoggingSettings { Access = access, Level = level }, new FakeTime());
        log.Write(Request(200), TimeSpan.Zero);
        log.Write(Request(400), TimeSpan.Zero);
        Assert.True(output.Flush(TimeSpan.FromSeconds(10)));
        Assert.Equal(expected, stream.Text.Count(c => c == '\n'));
    }

    [Fact]
    public void What_is_told_can_be_changed()
    {
        var stream = new LogCapture();
        using LogOutput output = Output(stream);
        var log = new AccessLog(output, new LoggingSettings { Access = AccessLogging.All }, new FakeTime());
        log.Change(new LoggingSettings { Access = AccessLogging.All, Level = LogLevel.None });
        log.Write(Request(500), TimeSpan.Zero);
        log.Change(new LoggingSettings { Access = AccessLogging.Errors });
        log.Write(Request(200), TimeSpan.Zero);
        log.Write(Request(404), TimeSpan.Zero);
        Assert.True(output.Flush(TimeSpan.FromSeconds(10)));
        Assert.Contains("\"status\":404", Assert.Single(stream.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    [Fact]
    public void The_text_format_has_the_same_facts()
    {
        var stream = new LogCapture();
        using LogOutput output = Output(stream);
        new AccessLog(output, new LoggingSettings { Format = LogFormat.Text }, new FakeTime()).Write(Request(200), TimeSpan.FromMilliseconds(1.5));
        Assert.True(output.Flush(TimeSpan.FromSeconds(10)));
        Assert.Equal("2026-11-20T08:00:00.000Z info  access: GET /api/v1/tasks 200 1500us coder-1 request-1\n", stream.Text);
    }

    [Fact]
    public void A_line_allocates_nothing()
    {
        using LogOutput output = Output(Stream.Null);
        var log = new AccessLog(output, new LoggingSettings(), new FakeTime());
        HttpContext request = Request(200);
        log.Write(request, TimeSpan.Zero);

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
            log.Write(request, TimeSpan.FromMilliseconds(1));
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static LogOutput Output(Stream stream) => new(stream, dropped => Encoding.UTF8.GetBytes($"{dropped} dropped\n"));

    private static DefaultHttpContext Request(int status)
    {
        var context = new DefaultHttpContext { TraceIdentifier = "request-1" };
        context.Request.Method = "GET";
        context.Request.Path = "/api/v1/tasks";
        context.Response.StatusCode = status;
        context.Features.Set(new Caller("coder-1", IsAdmin: false));
        return context;
    }
}
