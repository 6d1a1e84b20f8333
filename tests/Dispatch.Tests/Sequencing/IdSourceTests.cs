using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Tests.Sequencing;

public sealed class IdSourceTests
{
    private const long Now = 1_790_000_000_000;

    [Fact]
    public void Ids_are_of_version_7_and_tell_the_time()
    {
        var text = new IdSource(new Random(1)).NewTaskId(Now).ToString();

        Assert.Equal($"{Now:x12}", text[..8] + text[9..13]);
        Assert.Equal('7', text[14]);
        Assert.Contains(text[19], "89ab");
    }

    [Fact]
    public void Ids_rise_however_many_a_millisecond_and_whatever_the_clock_does()
    {
        var random = new Random(2);
        var source = new IdSource(random);
        var last = default(TaskId);
        var now = Now;
        for (var i = 0; i < 50_000; i++)
        {
            // Mostly within one millisecond, sometimes on, sometimes an hour back.
            now += random.Next(1_000) switch { 0 => 1, 1 => -3_600_000, 2 => 3_600_001, _ => 0 };
            var id = source.NewTaskId(now);
            Assert.True(string.CompareOrdinal(id.ToString(), last.ToString()) > 0 && id.CompareTo(last) > 0, $"{id} after {last}");
            last = id;
        }
    }

    [Fact]
    public void The_same_seed_gives_the_same_ids()
    {
        var one = new IdSource(new Random(3));
        var other = new IdSource(new Random(3));
        Assert.All(Enumerable.Range(0, 100), i => Assert.Equal(one.NewTaskId(Now + i), other.NewTaskId(Now + i)));
    }
}
