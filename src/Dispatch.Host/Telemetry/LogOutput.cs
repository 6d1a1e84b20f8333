using System.Diagnostics;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// Where log lines go: a bounded buffer that one thread of its own empties into a stream, many lines at a time. Writing a line
/// is a copy under a short lock. When the reader of the stream is too slow, lines are dropped, counted, and the count is told as
/// soon as there is room: a log must not be able to stop the broker.
/// </summary>
public sealed class LogOutput : IDisposable
{
    /// <summary>Bytes that may wait, by default: most of a second of access log at full load.</summary>
    public const int DefaultCapacity = 4 * 1024 * 1024;

    // Lines that come within this time go out in one write.
    private static readonly TimeSpan Gathering = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestStop = TimeSpan.FromSeconds(1);

    private readonly object gate = new();
    private readonly Stream stream;
    private readonly int capacity;
    private readonly Func<long, byte[]> tellDropped;
    private readonly Thread writer;
    private byte[] filling = new byte[64 * 1024];
    private byte[] spare = new byte[64 * 1024];
    private int filled;
    private bool isUrgent;
    private bool isStopping;
    private long dropped;
    private long droppedTold;
    private long accepted;
    private long written;

    /// <param name="stream">Not closed by this.</param>
    /// <param name="tellDropped">Makes the line that tells how many lines were dropped since the last such line.</param>
    /// <param name="capacity">Bytes that may wait.</param>
    public LogOutput(Stream stream, Func<long, byte[]> tellDropped, int capacity = DefaultCapacity)
    {
        this.stream = stream;
        this.tellDropped = tellDropped;
        this.capacity = capacity;
        writer = new Thread(WriteLoop) { IsBackground = true, Name = "log" };
        writer.Start();
    }

    /// <summary>Lines dropped since the start.</summary>
    public long Dropped
    {
        get
        {
            lock (gate)
                return dropped;
        }
    }

    /// <summary>Takes a whole line, its line feed included. False when there was no room for it.</summary>
    /// <param name="line">The line.</param>
    /// <param name="urgent">Whether it should go out at once instead of with the next ones.</param>
    public bool TryWrite(ReadOnlySpan<byte> line, bool urgent = false)
    {
        lock (gate)
        {
            if (isStopping || filled + line.Length > capacity)
            {
                dropped++;
                return false;
            }

            if (filled + line.Length > filling.Length)
                Array.Resize(ref filling, Math.Min(capacity, Math.Max(filling.Length * 2, filled + line.Length)));
            line.CopyTo(filling.AsSpan(filled));

            // The writer sleeps while there is nothing, and gathers while there is little: wake it for a reason only.
            bool wake = filled == 0 || (urgent && !isUrgent) || (filled < filling.Length / 2 && filled + line.Length >= filling.Length / 2);
            filled += line.Length;
            accepted += line.Length;
            isUrgent |= urgent;
            if (wake)
                Monitor.PulseAll(gate);
            return true;
        }
    }

    /// <summary>Waits until everything taken so far is written, at most this long. False when it was not.</summary>
    public bool Flush(TimeSpan atMost)
    {
        long started = Stopwatch.GetTimestamp();
        lock (gate)
        {
            long goal = accepted;
            isUrgent = true;
            Monitor.PulseAll(gate);
            while (written < goal)
            {
                TimeSpan left = atMost - Stopwatch.GetElapsedTime(started);
                if (left <= TimeSpan.Zero || !Monitor.Wait(gate, left))
                    return written >= goal;
            }

            return true;
        }
    }

    /// <summary>Writes what is left, for at most one second.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            isStopping = true;
            Monitor.PulseAll(gate);
        }

        writer.Join(LongestStop);
    }

    private void WriteLoop()
    {
        while (true)
        {
            byte[] lines;
            int length;
            byte[]? tale = null;
            lock (gate)
            {
                while (filled == 0 && !isStopping)
                    Monitor.Wait(gate);
                if (!isUrgent && !isStopping && filled < filling.Length / 2)
                    Monitor.Wait(gate, Gathering);
                if (filled == 0 && isStopping && dropped == droppedTold)
                    return;

                (lines, length) = (filling, filled);
                (filling, spare) = (spare, filling);
                filled = 0;
                isUrgent = false;
                if (dropped > droppedTold)
                {
                    tale = tellDropped(dropped - droppedTold);
                    droppedTold = dropped;
                }
            }

            Write(lines, length, tale);
            lock (gate)
            {
                written += length;
                Monitor.PulseAll(gate);
            }
        }
    }

    private void Write(byte[] lines, int length, byte[]? tale)
    {
        try
        {
            stream.Write(lines, 0, length);
            if (tale is not null)
                stream.Write(tale);
            stream.Flush();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException or UnauthorizedAccessException)
        {
            // The output is closed or its disk is full. There is nowhere left to say so but the metric.
            lock (gate)
            {
                int lost = lines.AsSpan(0, length).Count((byte)'\n');
                dropped += lost;
                droppedTold += lost;
            }
        }
    }
}
