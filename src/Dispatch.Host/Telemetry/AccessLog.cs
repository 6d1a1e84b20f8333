using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// One line per answered request, made without an allocation: method, path, status, time, caller, request id, bytes. Never a query,
/// a header, a token or a body: those may hold secrets.
/// </summary>
public sealed class AccessLog(LogOutput output, LoggingSettings settings, TimeProvider time)
{
    private const int LongestPath = 512;

    private volatile AccessLogging mode = ModeOf(settings);
    private readonly bool isJson = settings.Format == LogFormat.Json;

    /// <summary>From now on by other settings; the format stays.</summary>
    public void Change(LoggingSettings changed) => mode = ModeOf(changed);

    /// <summary>Writes the line of a request, when it is asked for.</summary>
    public void Write(HttpContext context, TimeSpan elapsed)
    {
        int status = context.Response.StatusCode;
        if (mode == AccessLogging.Off || (mode == AccessLogging.Errors && status < 400))
            return;

        var line = LogLine.Begin();
        if (isJson)
            WriteJson(line, context, status, elapsed);
        else
            WriteText(line, context, status, elapsed);
        output.TryWrite(line.Bytes);
        line.End();
    }

    // "off" is silence.
    private static AccessLogging ModeOf(LoggingSettings settings) => settings.Level == LogLevel.None ? AccessLogging.Off : settings.Access;

    private void WriteJson(LogLine line, HttpContext context, int status, TimeSpan elapsed)
    {
        line.Raw("{\"ts\":\""u8);
        line.Time(time.GetUtcNow());
        line.Raw("\",\"level\":\"info\",\"logger\":\"access\",\"method\":\""u8);
        line.Text(context.Request.Method);
        line.Raw("\",\"path\":\""u8);
        line.Text(Path(context));
        line.Raw("\",\"status\":"u8);
        line.Number((long)status);
        line.Raw(",\"duration_us\":"u8);
        line.Number(elapsed.Ticks / TimeSpan.TicksPerMicrosecond);
        if (context.FindCaller() is { } caller)
        {
            line.Raw(",\"caller\":\""u8);
            line.Text(caller.Agent);
            line.Raw(caller.IsAdmin ? "\",\"admin\":true"u8 : "\""u8);
        }

        if (context.Response.ContentLength is { } bytes)
        {
            line.Raw(",\"bytes\":"u8);
            line.Number(bytes);
        }

        line.Raw(",\"request_id\":\""u8);
        line.Text(context.TraceIdentifier);
        line.Raw("\"}\n"u8);
    }

    private void WriteText(LogLine line, HttpContext context, int status, TimeSpan elapsed)
    {
        line.Time(time.GetUtcNow());
        line.Raw(" info  access: "u8);
        line.Text(context.Request.Method);
        line.Raw(" "u8);
        line.Text(Path(context));
        line.Raw(" "u8);
        line.Number((long)status);
        line.Raw(" "u8);
        line.Number(elapsed.Ticks / TimeSpan.TicksPerMicrosecond);
        line.Raw("us "u8);
        line.Text(context.FindCaller()?.Agent ?? "-");
        line.Raw(" "u8);
        line.Text(context.TraceIdentifier);
        line.Raw("\n"u8);
    }

    private static ReadOnlySpan<char> Path(HttpContext context)
    {
        ReadOnlySpan<char> path = context.Request.Path.Value;
        return path[..Math.Min(path.Length, LongestPath)];
    }
}
