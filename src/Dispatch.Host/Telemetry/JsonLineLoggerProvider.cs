using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using Dispatch.Host.Configuration;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// Writes each log entry as one line, a JSON object or a text for persons:
/// <c>{"ts":"2026-11-20T08:00:00.000Z","level":"info","logger":"...","event":"...","msg":"...", ...values of the message...}</c>.
/// Value names are snake_case. Frameworks (Microsoft.*, System.*) are heard from warn on.
/// </summary>
public sealed class JsonLineLoggerProvider : ILoggerProvider
{
    // Kestrel's hosting makes a tracing activity for each request, some 500 bytes, when this category is heard at any level.
    private const string PerRequestCategory = "Microsoft.AspNetCore.Hosting.Diagnostics";

    // The host's own words when a listener or another part does not start: the exception it logs goes on to whoever started the
    // broker, and is told there in a sentence.
    private const string HostCategory = "Microsoft.Extensions.Hosting.Internal.Host";
    private const string StartFailed = "HostedServiceStartupFaulted";

    // After an entry of this level the process may be gone.
    private static readonly TimeSpan LongestFlush = TimeSpan.FromSeconds(1);

    private readonly LogOutput output;
    private readonly LogFormat format;
    private readonly TimeProvider time;
    private readonly ConcurrentDictionary<string, ILogger> loggers = new(StringComparer.Ordinal);
    private volatile int level;

    /// <param name="output">Where lines go.</param>
    /// <param name="settings">Level and format.</param>
    /// <param name="time">The clock.</param>
    public JsonLineLoggerProvider(LogOutput output, LoggingSettings settings, TimeProvider time)
    {
        this.output = output;
        this.time = time;
        format = settings.Format;
        level = (int)settings.Level;
    }

    /// <summary>Least level that is written. May be changed at any time.</summary>
    public LogLevel Level
    {
        get => (LogLevel)level;
        set => level = (int)value;
    }

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => loggers.GetOrAdd(categoryName, name => new Logger(this, name));

    /// <summary>The output is flushed by its owner.</summary>
    public void Dispose()
    {
    }

    internal static ReadOnlySpan<byte> LevelName(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace"u8,
        LogLevel.Debug => "debug"u8,
        LogLevel.Information => "info"u8,
        LogLevel.Warning => "warn"u8,
        _ => "error"u8,
    };

    private sealed class Logger : ILogger
    {
        // Names of the line's own members; a message's value of such a name gets an underscore.
        private static readonly HashSet<string> Own = new(StringComparer.Ordinal) { "ts", "level", "logger", "event", "msg", "exception", "trace_id" };
        private static readonly ConcurrentDictionary<string, string> ValueNames = new(StringComparer.Ordinal);

        private readonly JsonLineLoggerProvider provider;
        private readonly string category;
        private readonly LogLevel least;

        public Logger(JsonLineLoggerProvider provider, string category)
        {
            this.provider = provider;
            this.category = category;
            least = category == PerRequestCategory ? LogLevel.None
                : category.StartsWith("Microsoft.", StringComparison.Ordinal) || category.StartsWith("System.", StringComparison.Ordinal) ? LogLevel.Warning
                : LogLevel.Trace;
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) =>
            logLevel != LogLevel.None && (int)logLevel >= provider.level
            // Asking for trace is asking for everything.
            && (logLevel >= least || (provider.level == (int)LogLevel.Trace && category != PerRequestCategory));

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel) || (eventId.Name == StartFailed && category == HostCategory))
                return;

            var line = LogLine.Begin();
            string message = formatter(state, exception);
            if (provider.format == LogFormat.Json)
                WriteJson(line, logLevel, eventId, state, exception, message);
            else
                WriteText(line, logLevel, exception, message);
            line.Raw("\n"u8);
            provider.output.TryWrite(line.Bytes, urgent: logLevel >= LogLevel.Error);
            line.End();
            if (logLevel == LogLevel.Critical)
                provider.output.Flush(LongestFlush);
        }

        private void WriteJson<TState>(LogLine line, LogLevel logLevel, EventId eventId, TState state, Exception? exception, string message)
        {
            line.Raw("{\"ts\":\""u8);
            line.Time(provider.time.GetUtcNow());
            line.Raw("\",\"level\":\""u8);
            line.Raw(LevelName(logLevel));
            line.Raw("\",\"logger\":\""u8);
            line.Text(category);
            if (eventId.Name is { } name)
            {
                line.Raw("\",\"event\":\""u8);
                line.Text(name);
            }

            line.Raw("\",\"msg\":\""u8);
            line.Text(message);
            line.Raw("\""u8);
            if (Activity.Current is { IdFormat: ActivityIdFormat.W3C } activity)
            {
                line.Raw(",\"trace_id\":\""u8);
                line.Text(activity.TraceId.ToHexString());
                line.Raw("\""u8);
            }

            if (state is IReadOnlyList<KeyValuePair<string, object?>> values)
                WriteValues(line, values);
            if (exception is not null)
                WriteException(line, exception);
            line.Raw("}"u8);
        }

        private static void WriteValues(LogLine line, IReadOnlyList<KeyValuePair<string, object?>> values)
        {
            for (int i = 0; i < values.Count; i++)
            {
                (string name, object? value) = values[i];
                if (name == "{OriginalFormat}")
                    continue;

                line.Raw(",\""u8);
                line.Text(ValueNames.GetOrAdd(name, ToValueName));
                line.Raw("\":"u8);
                switch (value)
                {
                    case null:
                        line.Raw("null"u8);
                        break;
                    case bool flag:
                        line.Raw(flag ? "true"u8 : "false"u8);
                        break;
                    case int number:
                        line.Number((long)number);
                        break;
                    case long number:
                        line.Number(number);
                        break;
                    case double number when double.IsFinite(number):
                        line.Number<double>(number);
                        break;
                    default:
                        line.Raw("\""u8);
                        line.Text(value is IFormattable formattable ? formattable.ToString(format: null, System.Globalization.CultureInfo.InvariantCulture) : value.ToString());
                        line.Raw("\""u8);
                        break;
                }
            }
        }

        private static void WriteException(LogLine line, Exception exception)
        {
            line.Raw(",\"exception\":{\"type\":\""u8);
            line.Text(exception.GetType().FullName);
            line.Raw("\",\"message\":\""u8);
            line.Text(exception.Message);
            // With the inner ones.
            line.Raw("\",\"stack\":\""u8);
            line.Text(exception.ToString());
            line.Raw("\"}"u8);
        }

        private void WriteText(LogLine line, LogLevel logLevel, Exception? exception, string message)
        {
            line.Time(provider.time.GetUtcNow());
            line.Raw(" "u8);
            ReadOnlySpan<byte> name = LevelName(logLevel);
            line.Raw(name);
            line.Raw("      "u8[name.Length..]);
            line.Text(category);
            line.Raw(": "u8);
            line.Text(message);
            if (exception is null)
                return;

            // Each line of the stack is indented: it can't be taken for an entry.
            foreach (ReadOnlySpan<char> part in exception.ToString().AsSpan().EnumerateLines())
            {
                line.Raw("\n    "u8);
                line.Text(part);
            }
        }

        private static string ToValueName(string placeholder)
        {
            string name = JsonNamingPolicy.SnakeCaseLower.ConvertName(placeholder);
            return Own.Contains(name) ? name + "_" : name;
        }
    }
}
