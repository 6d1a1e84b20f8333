using Dispatch.Host.Configuration;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Telemetry;

/// <summary>Composition.</summary>
public static class TelemetryComposition
{
    /// <summary>
    /// Adds log, access log, metrics and export: <see cref="DispatchMetrics"/>, <see cref="PrometheusPage"/>,
    /// <see cref="JsonLineLoggerProvider"/>, <see cref="LogOutput"/>. Takes the place of every other log provider.
    /// </summary>
    /// <param name="builder">The host's.</param>
    /// <param name="config">Sections logging and telemetry.</param>
    /// <param name="logStream">Where log lines go; null: standard output.</param>
    public static void AddDispatchTelemetry(this IHostApplicationBuilder builder, DispatchConfig config, Stream? logStream = null)
    {
        IServiceCollection services = builder.Services;
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton(provider => LogComposition.MakeOutput(config.Logging, provider.GetRequiredService<TimeProvider>(), logStream));
        services.AddSingleton(provider => new JsonLineLoggerProvider(
            provider.GetRequiredService<LogOutput>(), config.Logging, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider => new AccessLog(
            provider.GetRequiredService<LogOutput>(), config.Logging, provider.GetRequiredService<TimeProvider>()));
        services.AddSingleton(provider =>
        {
            var metrics = new DispatchMetrics();
            LogOutput output = provider.GetRequiredService<LogOutput>();
            metrics.ObserveDroppedLogLines(() => output.Dropped);
            return metrics;
        });
        services.AddSingleton<PrometheusPage>();
        services.AddSingleton(config.Telemetry);
        services.AddHostedService<OtlpExport>();

        builder.Logging.ClearProviders();
        // The provider decides: its level can be changed while the process runs.
        builder.Logging.SetMinimumLevel(LogLevel.Trace);
        builder.Logging.Services.AddSingleton<ILoggerProvider>(provider => provider.GetRequiredService<JsonLineLoggerProvider>());
    }

    /// <summary>Adds metrics of its own, and the log of a process that has several brokers.</summary>
    internal static void JoinTelemetry(this IHostApplicationBuilder builder, IServiceProvider process, string space)
    {
        IServiceCollection services = builder.Services;
        services.AddSingleton(process.GetRequiredService<TimeProvider>());
        services.AddSingleton(process.GetRequiredService<LogOutput>());
        services.AddSingleton(process.GetRequiredService<JsonLineLoggerProvider>());
        services.AddSingleton(process.GetRequiredService<AccessLog>());
        services.AddSingleton(_ => new DispatchMetrics(space));
        services.AddSingleton<PrometheusPage>();

        builder.Logging.ClearProviders();
        builder.Logging.Services.AddSingleton(process.GetRequiredService<ILoggerFactory>());
    }

    /// <summary>Level and access log go by the settings in force.</summary>
    internal static void FollowTelemetry(this IApplicationBuilder app, LiveConfig config)
    {
        var log = app.ApplicationServices.GetRequiredService<JsonLineLoggerProvider>();
        var access = app.ApplicationServices.GetRequiredService<AccessLog>();
        config.Changed += now =>
        {
            log.Level = now.Logging.Level;
            access.Change(now.Logging);
        };
    }

    /// <summary>Maps GET /metrics. Measurements count from this call on.</summary>
    public static IEndpointConventionBuilder MapMetrics(this IEndpointRouteBuilder app)
    {
        PrometheusPage page = app.ServiceProvider.GetRequiredService<PrometheusPage>();
        return app.MapGet("/metrics", (RequestDelegate)page.WriteAsync);
    }
}

internal static class LogComposition
{
    public static LogOutput MakeOutput(LoggingSettings settings, TimeProvider time, Stream? stream) =>
        new(stream ?? Console.OpenStandardOutput(), dropped => DroppedLine(settings.Format, time, dropped));

    private static byte[] DroppedLine(LogFormat format, TimeProvider time, long dropped)
    {
        var line = LogLine.Begin();
        if (format == LogFormat.Json)
        {
            line.Raw("{\"ts\":\""u8);
            line.Time(time.GetUtcNow());
            line.Raw("\",\"level\":\"warn\",\"logger\":\"log\",\"msg\":\"log lines were dropped: the output is not read fast enough\",\"lines\":"u8);
            line.Number(dropped);
            line.Raw("}\n"u8);
        }
        else
        {
            line.Time(time.GetUtcNow());
            line.Raw(" warn  log: "u8);
            line.Number(dropped);
            line.Raw(" log lines were dropped: the output is not read fast enough\n"u8);
        }

        byte[] bytes = line.Bytes.ToArray();
        line.End();
        return bytes;
    }
}
