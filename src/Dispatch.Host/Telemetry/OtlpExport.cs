using System.Diagnostics.Tracing;
using Dispatch.Host.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// Sends metrics and traces to an OTLP/HTTP collector, when telemetry.otlp_endpoint names one. The SDK's own variables work
/// (OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_METRIC_EXPORT_INTERVAL). A collector that is
/// away costs nothing but a warning a minute.
/// </summary>
public sealed class OtlpExport(TelemetrySettings settings, ILogger<OtlpExport> logger, TimeProvider time) : IHostedService, IDisposable
{
    // What is not sent by then is lost: a stop must end in time also when the collector hangs.
    private const int LongestFlushMs = 2_000;

    private MeterProvider? metrics;
    private TracerProvider? traces;
    private FailureListener? failures;

    /// <summary>Whether anything is sent.</summary>
    public bool IsOn => settings.OtlpEndpoint is not null;

    /// <summary>Begins to send, when an endpoint is configured.</summary>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (settings.OtlpEndpoint is not { } endpoint)
            return Task.CompletedTask;

        failures = new FailureListener(logger, time);
        string version = typeof(OtlpExport).Assembly.GetName().Version?.ToString(3) ?? "";
        metrics = Sdk.CreateMeterProviderBuilder()
            .ConfigureResource(resource => resource.AddService("dispatch", serviceVersion: version))
            .AddMeter(DispatchMetrics.MeterName)
            .AddOtlpExporter(options => Configure(options, endpoint, "v1/metrics"))
            .Build();
        traces = Sdk.CreateTracerProviderBuilder()
            .ConfigureResource(resource => resource.AddService("dispatch", serviceVersion: version))
            .AddSource(DispatchTracing.SourceName)
            .AddOtlpExporter(options => Configure(options, endpoint, "v1/traces"))
            .Build();
        logger.Exporting(endpoint);
        return Task.CompletedTask;
    }

    /// <summary>Sends what is left, for at most two seconds, or until the host's patience ends.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        (MeterProvider? stoppingMetrics, TracerProvider? stoppingTraces) = (metrics, traces);
        (metrics, traces) = (null, null);
        if (stoppingMetrics is null || stoppingTraces is null)
            return;

        // Both at once, on threads of their own: the SDK's shutdown blocks, and can't be called off.
        Task flush = Task.Factory.StartNew(
            () => Parallel.Invoke(
                () =>
                {
                    stoppingMetrics.Shutdown(LongestFlushMs);
                    stoppingMetrics.Dispose();
                },
                () =>
                {
                    stoppingTraces.Shutdown(LongestFlushMs);
                    stoppingTraces.Dispose();
                }),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        await flush.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!flush.IsCompletedSuccessfully)
            logger.Unsent();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        metrics?.Dispose();
        traces?.Dispose();
        failures?.Dispose();
    }

    private static void Configure(OtlpExporterOptions options, string endpoint, string path)
    {
        options.Protocol = OtlpExportProtocol.HttpProtobuf;
        options.Endpoint = new Uri(endpoint.TrimEnd('/') + "/" + path);
        options.TimeoutMilliseconds = LongestFlushMs;
    }

    /// <summary>The SDK tells of failed exports only through an event source: at most one a minute goes to the log.</summary>
    private sealed class FailureListener(ILogger logger, TimeProvider time) : EventListener
    {
        private long toldAt;

        protected override void OnEventSourceCreated(EventSource eventSource)
        {
            if (eventSource.Name == "OpenTelemetry-Exporter-OpenTelemetryProtocol")
                EnableEvents(eventSource, EventLevel.Warning);
        }

        protected override void OnEventWritten(EventWrittenEventArgs eventData)
        {
            // Called for sources that exist already from within the base's constructor, before our fields are set.
            if (logger is null || time is null)
                return;

            long now = time.GetUtcNow().ToUnixTimeMilliseconds();
            long last = Interlocked.Read(ref toldAt);
            if (now - last >= 60_000 && Interlocked.CompareExchange(ref toldAt, now, last) == last)
                logger.ExportFailed(eventData.EventName ?? "", string.Join("; ", eventData.Payload ?? (IEnumerable<object?>)[]));
        }
    }
}

internal static partial class OtlpMessages
{
    [LoggerMessage(EventId = 3101, Level = LogLevel.Information, Message = "Metrics and traces go to {Endpoint}")]
    public static partial void Exporting(this ILogger logger, string endpoint);

    [LoggerMessage(EventId = 3102, Level = LogLevel.Warning, Message = "Metrics or traces could not be sent ({Failure}): {Detail}")]
    public static partial void ExportFailed(this ILogger logger, string failure, string detail);

    [LoggerMessage(EventId = 3103, Level = LogLevel.Warning, Message = "The collector did not take the last metrics and traces in time; they are lost")]
    public static partial void Unsent(this ILogger logger);
}
