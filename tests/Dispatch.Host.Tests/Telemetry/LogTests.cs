using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Dispatch.Host.Configuration;
using Dispatch.Host.Telemetry;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Tests.Telemetry;

public sealed partial class LogTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Fact]
    public void An_entry_is_one_object_with_the_values_of_its_message()
    {
        JsonElement entry = JsonDocument.Parse(Lines(LogLevel.Information, logger =>
            Started(logger, 8600, "http://127.0.0.1:8600", TimeSpan.FromSeconds(1.5), 0.25, true, null, "shadow")).Single()).RootElement;

        Assert.Equal("2026-11-20T08:00:00.000Z", entry.GetProperty("ts").GetString());
        Assert.Equal("info", entry.GetProperty("level").GetString());
        Assert.Equal("Dispatch.Test", entry.GetProperty("logger").GetString());
        Assert.Equal("Started", entry.GetProperty("event").GetString());
        Assert.StartsWith("Listening on http://127.0.0.1:8600 port 8600", entry.GetProperty("msg").GetString());
        Assert.Equal(8600, entry.GetProperty("port_number").GetInt32());
        Assert.Equal("00:00:01.5000000", entry.GetProperty("took").GetString());
        Assert.Equal(0.25, entry.GetProperty("ratio").GetDouble());
        Assert.True(entry.GetProperty("ready").GetBoolean());
        Assert.Equal(JsonValueKind.Null, entry.GetProperty("note").ValueKind);
        // Does not hide the entry's own level.
        Assert.Equal("shadow", entry.GetProperty("level_").GetString());
    }

    [Theory]
    [InlineData(LogFormat.Json)]
    [InlineData(LogFormat.Text)]
    public void No_value_can_end_a_line_or_begin_one(LogFormat format)
    {
        string forged = "a\r\n{\"ts\":\"now\",\"msg\":\"forged\"}\n\u2028\u2029\u0085\u001b[31m\0\u202e\ud800\"\\";
        string[] lines = Lines(LogLevel.Information, logger => Said(logger, forged), format);

        string line = Assert.Single(lines);
        Assert.DoesNotContain(line, c => char.IsControl(c) || c is '\u2028' or '\u2029' or '\u202e');
        if (format == LogFormat.Json)
            Assert.Equal(forged.Replace('\ud800', '\ufffd'), JsonDocument.Parse(line).RootElement.GetProperty("what").GetString());
    }

    [Fact]
    public void An_exception_is_in_the_entry_with_the_inner_ones()
    {
        JsonElement entry = JsonDocument.Parse(Lines(LogLevel.Information, logger =>
            Broke(logger, new InvalidOperationException("outer\nline", new IOException("inner")))).Single()).RootElement;
        JsonElement exception = entry.GetProperty("exception");
        Assert.Equal("System.InvalidOperationException", exception.GetProperty("type").GetString());
        Assert.Equal("outer\nline", exception.GetProperty("message").GetString());
        Assert.Contains("inner", exception.GetProperty("stack").GetString());
    }

    [Fact]
    public void The_text_format_is_for_persons_and_indents_stacks()
    {
        string[] lines = Lines(
            LogLevel.Information,
            logger =>
            {
                Said(logger, "hello");
                Broke(logger, new InvalidOperationException("outer\nforged"));
            },
            LogFormat.Text);
        Assert.Equal("2026-11-20T08:00:00.000Z info  Dispatch.Test: It said hello", lines[0]);
        Assert.Equal("2026-11-20T08:00:00.000Z error Dispatch.Test: It broke", lines[1]);
        Assert.All(lines[2..], line => Assert.StartsWith("    ", line));
    }

    [Fact]
    public void Levels_are_kept_and_may_change_while_it_runs()
    {
        var stream = new LogCapture();
        using LogOutput output = Output(stream);
        using var provider = new JsonLineLoggerProvider(output, new LoggingSettings { Level = LogLevel.Warning }, new FakeTime());
        ILogger logger = provider.CreateLogger("Dispatch.Test");

        Said(logger, "first");
        provider.Level = LogLevel.Information;
        Said(logger, "second");
        provider.Level = LogLevel.None;
        Broke(logger, new InvalidOperationException());

        Assert.True(output.Flush(Soon));
        Assert.Contains("second", Assert.Single(stream.Text.TrimEnd('\n').Split('\n')));
    }

    [Fact]
    public void Frameworks_are_heard_from_warn_on()
    {
        using var provider = new JsonLineLoggerProvider(Output(new LogCapture()), new LoggingSettings(), new FakeTime());
        ILogger kestrel = provider.CreateLogger("Microsoft.AspNetCore.Server.Kestrel");
        Assert.False(kestrel.IsEnabled(LogLevel.Information));
        Assert.True(kestrel.IsEnabled(LogLevel.Warning));
        provider.Level = LogLevel.Trace;
        Assert.True(kestrel.IsEnabled(LogLevel.Debug));
        Assert.False(provider.CreateLogger("Microsoft.AspNetCore.Hosting.Diagnostics").IsEnabled(LogLevel.Critical));
    }

    [Fact]
    public void An_entry_inside_a_span_names_its_trace()
    {
        using var activity = new Activity("test");
        activity.SetIdFormat(ActivityIdFormat.W3C);
        activity.Start();
        JsonElement entry = JsonDocument.Parse(Lines(LogLevel.Information, logger => Said(logger, "x")).Single()).RootElement;
        Assert.Equal(activity.TraceId.ToHexString(), entry.GetProperty("trace_id").GetString());
    }

    [Fact]
    public void A_long_text_is_cut()
    {
        string line = Lines(LogLevel.Information, logger => Said(logger, new string('x', 1_000_000))).Single();
        Assert.InRange(line.Length, 16_000, 100_000);
        Assert.EndsWith("...", JsonDocument.Parse(line).RootElement.GetProperty("what").GetString());
    }

    [Fact]
    public void A_reader_that_stands_still_costs_lines_and_not_time_and_the_loss_is_told()
    {
        using var stuck = new StuckStream();
        using LogOutput output = new(stuck, dropped => Encoding.UTF8.GetBytes($"{dropped} dropped\n"), capacity: 10_000);
        byte[] line = Encoding.UTF8.GetBytes(new string('x', 99) + "\n");
        var watch = Stopwatch.StartNew();
        int taken = 0;
        for (int i = 0; i < 10_000; i++)
            taken += output.TryWrite(line) ? 1 : 0;

        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(5));
        Assert.InRange(taken, 100, 200);
        Assert.Equal(10_000 - taken, output.Dropped);
        Assert.False(output.Flush(TimeSpan.FromMilliseconds(50)));

        stuck.Open();
        Assert.True(output.Flush(Soon));
        output.TryWrite("after\n"u8);
        Assert.True(output.Flush(Soon));
        Assert.Contains($"{output.Dropped} dropped\n", stuck.Text);
        Assert.Contains("after\n", stuck.Text);
        Assert.Equal(taken, stuck.Text.Split('\n').Count(one => one.StartsWith('x')));
    }

    [Fact]
    public void Stopping_writes_what_is_left_and_always_ends()
    {
        var stream = new LogCapture();
        LogOutput output = Output(stream);
        for (int i = 0; i < 1_000; i++)
            output.TryWrite("line\n"u8);
        output.Dispose();
        Assert.Equal(1_000, stream.Text.Count(c => c == '\n'));

        using var stuck = new StuckStream();
        LogOutput hanging = Output(stuck);
        hanging.TryWrite("line\n"u8);
        var watch = Stopwatch.StartNew();
        hanging.Dispose();
        Assert.InRange(watch.Elapsed.TotalSeconds, 0.9, 6);
        stuck.Open();
    }

    [Fact]
    public void A_closed_output_does_not_stop_the_process()
    {
        var closed = new LogCapture();
        closed.Dispose();
        using LogOutput output = Output(closed);
        output.TryWrite("line\n"u8);
        Assert.True(output.Flush(Soon));
        Assert.Equal(1, output.Dropped);
    }

    [Fact]
    public void An_error_goes_out_without_waiting_for_more()
    {
        using var signal = new SignallingStream();
        using LogOutput output = Output(signal);
        using var provider = new JsonLineLoggerProvider(output, new LoggingSettings(), new FakeTime());
        Broke(provider.CreateLogger("Dispatch.Test"), new InvalidOperationException());
        Assert.True(signal.Written.Wait(Soon));
    }

    private static string[] Lines(LogLevel level, Action<ILogger> log, LogFormat format = LogFormat.Json)
    {
        var stream = new LogCapture();
        using LogOutput output = Output(stream);
        using var provider = new JsonLineLoggerProvider(output, new LoggingSettings { Level = level, Format = format }, new FakeTime());
        log(provider.CreateLogger("Dispatch.Test"));
        Assert.True(output.Flush(Soon));
        return stream.Text.TrimEnd('\n').Split('\n');
    }

    private static LogOutput Output(Stream stream) => new(stream, dropped => Encoding.UTF8.GetBytes($"{dropped} dropped\n"));

    [LoggerMessage(EventId = 1, Level = LogLevel.Information, Message = "Listening on {Url} port {PortNumber} after {Took} {Ratio} {Ready} {Note} {Level}")]
    private static partial void Started(ILogger logger, int portNumber, string url, TimeSpan took, double ratio, bool ready, string? note, string level);

    [LoggerMessage(EventId = 2, Level = LogLevel.Information, Message = "It said {What}")]
    private static partial void Said(ILogger logger, string what);

    [LoggerMessage(EventId = 3, Level = LogLevel.Error, Message = "It broke")]
    private static partial void Broke(ILogger logger, Exception e);

    /// <summary>A pipe that nobody reads until it is opened.</summary>
    private sealed class StuckStream : Stream
    {
        private readonly ManualResetEventSlim open = new();
        private readonly LogCapture capture = new();

        public string Text => capture.Text;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public void Open() => open.Set();

        public override void Write(byte[] buffer, int offset, int count)
        {
            open.Wait();
            capture.Write(buffer, offset, count);
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }

    private sealed class SignallingStream : MemoryStream
    {
        public ManualResetEventSlim Written { get; } = new();

        public override void Write(byte[] buffer, int offset, int count) => Written.Set();
    }
}
