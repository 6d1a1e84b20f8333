using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;

namespace Dispatch.Host.Tests.Auth;

public sealed class CallerDirectoryTests
{
    [Theory]
    [InlineData("a", true)]
    [InlineData("coder-1@host/2", true)]
    [InlineData("with blank", true)]
    [InlineData("агент", true)]
    [InlineData("🤖", true)]
    [InlineData("", false)]
    [InlineData(" ", false)]
    [InlineData(" a", false)]
    [InlineData("a ", false)]
    [InlineData("a\nb", false)]
    [InlineData("a\u0000", false)]
    [InlineData("a\u0085", false)]
    [InlineData("a\u200b", false)]
    [InlineData("a\u202eb", false)]
    [InlineData("a\u2028b", false)]
    [InlineData("a\u00a0b", false)]
    [InlineData("a\ud800", false)]
    [InlineData("a\ufffd", false)]
    public void An_id_is_what_can_be_printed(string id, bool valid) => Assert.Equal(valid, AgentIds.IsValid(id));

    [Fact]
    public void An_id_has_at_most_256_characters()
    {
        Assert.True(AgentIds.IsValid(new string('a', 256)));
        Assert.False(AgentIds.IsValid(new string('a', 257)));
    }

    [Fact]
    public void A_caller_is_one_instance()
    {
        var callers = new CallerDirectory(new LimitSettings(), new FakeTime());
        Assert.Same(callers.Find("a")!.Plain, callers.Find("a")!.Plain);
        Assert.Same(callers.Find("a")!.Admin, callers.Find("a")!.Admin);
        Assert.True(callers.Find("a")!.Admin.IsAdmin);
        Assert.Null(callers.Find("a\n"));
    }

    [Fact]
    public void The_lasting_rate_and_the_burst_are_kept()
    {
        var time = new FakeTime();
        var callers = new CallerDirectory(new LimitSettings { RequestsPerSecond = 100, Burst = 10 }, time);

        int Taken()
        {
            int taken = 0;
            while (callers.Take(callers.Find("a")!) == 0)
                taken++;
            return taken;
        }

        Assert.Equal(10, Taken());
        time.Advance(TimeSpan.FromMilliseconds(50));
        Assert.Equal(5, Taken());
        // A long pause earns one burst, no more.
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(10, Taken());
    }

    [Fact]
    public void Many_threads_take_no_more_than_there_is()
    {
        var callers = new CallerDirectory(new LimitSettings { RequestsPerSecond = 1, Burst = 5_000 }, new FakeTime());
        int taken = 0;
        Parallel.For(0, 20_000, _ =>
        {
            if (callers.Take(callers.Find("a")!) == 0)
                Interlocked.Increment(ref taken);
        });
        Assert.Equal(5_000, taken);
    }

    [Fact]
    public void Without_a_limit_all_are_let_through()
    {
        var callers = new CallerDirectory(new LimitSettings { RequestsPerSecond = 0, Burst = 1 }, new FakeTime());
        for (int i = 0; i < 1000; i++)
            Assert.Equal(0, callers.Take(callers.Find("a")!));
    }

    [Fact]
    public void Other_limits_hold_at_once_and_nobody_waits_longer_than_an_empty_allowance_lasts()
    {
        var callers = new CallerDirectory(new LimitSettings { RequestsPerSecond = 1, Burst = 3_000 }, new FakeTime());
        for (int i = 0; i < 3_000; i++)
            Assert.Equal(0, callers.Take(callers.Find("a")!));

        callers.Change(new LimitSettings { RequestsPerSecond = 2, Burst = 4 });

        Assert.Equal(1, callers.Take(callers.Find("a")!));
        Assert.Equal([0, 0, 0, 0, 1], Enumerable.Range(0, 5).Select(_ => callers.Take(callers.Find("b")!)));
        callers.Change(new LimitSettings { RequestsPerSecond = 0 });
        Assert.Equal(0, callers.Take(callers.Find("a")!));
    }

    [Fact]
    public void The_waiting_time_is_whole_seconds_rounded_up()
    {
        var time = new FakeTime();
        var callers = new CallerDirectory(new LimitSettings { RequestsPerSecond = 1, Burst = 1 }, time);
        Assert.Equal(0, callers.Take(callers.Find("a")!));
        Assert.Equal(1, callers.Take(callers.Find("a")!));
        time.Advance(TimeSpan.FromMilliseconds(900));
        Assert.Equal(1, callers.Take(callers.Find("a")!));
        time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal(0, callers.Take(callers.Find("a")!));
    }

    [Fact]
    public void Callers_without_number_take_bounded_memory_and_those_in_use_are_kept_as_long_as_possible()
    {
        var time = new FakeTime();
        var callers = new CallerDirectory(new LimitSettings { RequestsPerSecond = 1, Burst = 1 }, time, capacity: 1000);
        callers.Take(callers.Find("busy")!);

        // None of these took anything: they are forgotten first.
        for (int i = 0; i < 5_000; i++)
            callers.Find("idle" + i);
        Assert.InRange(callers.Count, 1, 1000);
        Assert.NotEqual(0, callers.Take(callers.Find("busy")!));

        // All of these are in use: the bound holds all the same.
        for (int i = 0; i < 5_000; i++)
            callers.Take(callers.Find("used" + i)!);
        Assert.InRange(callers.Count, 1, 1000);
    }
}
