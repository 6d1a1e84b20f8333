namespace Dispatch.Host.Tests;

/// <summary>A clock that stands until it is moved.</summary>
internal sealed class FakeTime : TimeProvider
{
    private long ticks = new DateTimeOffset(2026, 11, 20, 8, 0, 0, TimeSpan.Zero).Ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public void Advance(TimeSpan by) => Interlocked.Add(ref ticks, by.Ticks);

    public override DateTimeOffset GetUtcNow() => new(Interlocked.Read(ref ticks), TimeSpan.Zero);

    public override long GetTimestamp() => Interlocked.Read(ref ticks);
}
