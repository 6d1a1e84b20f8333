using System.Collections.Concurrent;
using System.Diagnostics;
using Dispatch.Host.Configuration;
using Dispatch.Host.Telemetry;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Dispatch.Host.Tests.Telemetry;

// One after the other: an exporter listens to every meter called Dispatch, and allocates.
[Collection("Listeners")]
public sealed class OtlpExportTests
{
    [Fact]
    public async Task Metrics_and_traces_reach_a_collector_and_the_callers_trace_goes_on()
    {
        await using var collector = await Collector.StartAsync();
        await using (HostUnderTest host = await HostUnderTest.StartAsync(new DispatchConfig { Telemetry = new TelemetrySettings { OtlpEndpoint = collector.Url } }))
        {
            host.Services.GetRequiredService<DispatchMetrics>().RecordAttempt(AttemptOutcome.Completed, 5);
            await host.SendAsync(
                HttpMethod.Get, "/api/v1/whoami", "coder-1", headers: ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
            // Stopping sends what is left.
        }

        byte[] metrics = collector.Received("/v1/metrics");
        Assert.True(Contains(metrics, "dispatch_attempts_total"u8));
        Assert.True(Contains(metrics, "dispatch_request_seconds"u8));
        Assert.True(Contains(metrics, "service.name"u8));
        Assert.True(Contains(metrics, "dispatch"u8));

        byte[] traces = collector.Received("/v1/traces");
        Assert.True(Contains(traces, "GET /api/v1/whoami"u8));
        Assert.True(Contains(traces, "coder-1"u8));
        Assert.True(Contains(traces, Convert.FromHexString("0af7651916cd43dd8448eb211c80319c")));
        Assert.True(Contains(traces, Convert.FromHexString("b7ad6b7169203331")));
    }

    [Fact]
    public async Task A_malformed_traceparent_begins_a_new_trace()
    {
        await using var collector = await Collector.StartAsync();
        await using (HostUnderTest host = await HostUnderTest.StartAsync(new DispatchConfig { Telemetry = new TelemetrySettings { OtlpEndpoint = collector.Url + "/" } }))
            await host.SendAsync(HttpMethod.Get, "/api/v1/whoami", "coder-9", headers: ("traceparent", "00-xyz-1-01"));
        Assert.True(Contains(collector.Received("/v1/traces"), "coder-9"u8));
    }

    [Fact]
    public async Task Without_an_endpoint_nothing_is_sent()
    {
        using var export = new OtlpExport(new TelemetrySettings(), NullLogger<OtlpExport>.Instance, TimeProvider.System);
        await export.StartAsync(default);
        Assert.False(export.IsOn);
        await export.StopAsync(default);
    }

    [Fact]
    public async Task The_patience_of_the_host_ends_the_last_sending()
    {
        await using var collector = await Collector.StartAsync(hangs: true);
        using var metrics = new DispatchMetrics();
        using var export = new OtlpExport(new TelemetrySettings { OtlpEndpoint = collector.Url }, NullLogger<OtlpExport>.Instance, TimeProvider.System);
        await export.StartAsync(default);
        metrics.RecordSubmitted(1);

        var stop = export.StopAsync(new CancellationToken(canceled: true));
        await stop.WaitAsync(TimeSpan.FromSeconds(1));
    }

    [Fact]
    public async Task A_collector_that_hangs_does_not_hold_up_the_stop()
    {
        await using var collector = await Collector.StartAsync(hangs: true);
        HostUnderTest host = await HostUnderTest.StartAsync(new DispatchConfig { Telemetry = new TelemetrySettings { OtlpEndpoint = collector.Url } });
        await host.SendAsync(HttpMethod.Get, "/api/v1/whoami", "a");

        var watch = Stopwatch.StartNew();
        await host.DisposeAsync();
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(8), $"it took {watch.Elapsed}");
    }

    [Fact]
    public async Task A_collector_that_is_away_is_told_in_the_log_and_harms_nobody()
    {
        var log = new LogCapture();
        using var output = new LogOutput(log, _ => []);
        using var provider = new JsonLineLoggerProvider(output, new LoggingSettings(), TimeProvider.System);
        using var factory = new LoggerFactory([provider]);
        using var metrics = new DispatchMetrics();
        using (var export = new OtlpExport(new TelemetrySettings { OtlpEndpoint = "http://127.0.0.1:9" }, factory.CreateLogger<OtlpExport>(), TimeProvider.System))
        {
            await export.StartAsync(default);
            metrics.RecordSubmitted(1);
            await export.StopAsync(default);
        }

        Assert.True(output.Flush(TimeSpan.FromSeconds(10)));
        Assert.Contains("could not be sent", log.Text);
    }

    private static bool Contains(byte[] haystack, ReadOnlySpan<byte> needle) => haystack.AsSpan().IndexOf(needle) >= 0;

    /// <summary>An OTLP/HTTP collector that keeps what it gets.</summary>
    private sealed class Collector : IAsyncDisposable
    {
        private readonly WebApplication app;
        private readonly ConcurrentQueue<(string Path, byte[] Body)> received;
        private readonly CancellationTokenSource stopping;

        private Collector(WebApplication app, ConcurrentQueue<(string Path, byte[] Body)> received, CancellationTokenSource stopping)
        {
            this.app = app;
            this.received = received;
            this.stopping = stopping;
            Url = app.Urls.Single();
        }

        public string Url { get; }

        public static async Task<Collector> StartAsync(bool hangs = false)
        {
            var received = new ConcurrentQueue<(string Path, byte[] Body)>();
            var stopping = new CancellationTokenSource();
            WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
            builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
            WebApplication app = builder.Build();
            app.Run(async context =>
            {
                if (hangs)
                    await Task.Delay(Timeout.Infinite, stopping.Token).ContinueWith(_ => { }, TaskScheduler.Default);
                using var body = new MemoryStream();
                await context.Request.Body.CopyToAsync(body);
                Assert.Equal("application/x-protobuf", context.Request.ContentType);
                received.Enqueue((context.Request.Path, body.ToArray()));
            });
            await app.StartAsync();
            return new Collector(app, received, stopping);
        }

        public byte[] Received(string path)
        {
            byte[] all = [.. received.Where(one => one.Path == path).SelectMany(one => one.Body)];
            Assert.True(all.Length > 0, $"nothing came to {path}; paths: {string.Join(' ', received.Select(one => one.Path))}");
            return all;
        }

        public async ValueTask DisposeAsync()
        {
            await stopping.CancelAsync();
            await app.DisposeAsync();
            stopping.Dispose();
        }
    }
}
