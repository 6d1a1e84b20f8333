using Dispatch.Sequencing;

namespace Dispatch.Tests.Sequencing;

public sealed class DueQueueTests
{
    [Fact]
    public void It_does_what_a_sorted_list_does()
    {
        for (var seed = 0; seed < 15; seed++)
        {
            var random = new Random(seed);
            var queue = new DueQueue();
            var model = new SortedSet<(long Due, long Order, int Id)>();
            var timers = Enumerable.Range(0, 200).Select(id => new Bell(id)).ToArray();
            long order = 0;
            for (var step = 0; step < 2_000; step++)
            {
                var timer = timers[random.Next(timers.Length)];
                switch (random.Next(5))
                {
                    case 0 or 1:
                        model.RemoveWhere(known => known.Id == timer.Id);
                        var due = random.Next(100);
                        model.Add((due, ++order, timer.Id));
                        queue.Arm(timer, due);
                        break;
                    case 2:
                        model.RemoveWhere(known => known.Id == timer.Id);
                        queue.Disarm(timer);
                        break;
                    default:
                        var now = random.Next(-1, 100);
                        int? expected = model.Count > 0 && model.Min.Due <= now ? model.Min.Id : null;
                        if (expected is not null)
                            model.Remove(model.Min);
                        Assert.Equal(expected, (queue.TakeDue(now) as Bell)?.Id);
                        break;
                }

                Assert.Equal(model.Count, queue.Count);
                Assert.Equal(model.Count == 0 ? long.MaxValue : model.Min.Due, queue.NextDue);
                Assert.Equal(model.Any(known => known.Id == timer.Id), timer.IsArmed);
            }
        }
    }

    [Fact]
    public void Equal_times_go_off_in_the_order_they_were_armed()
    {
        var queue = new DueQueue();
        for (var id = 0; id < 1_000; id++)
            queue.Arm(new Bell(id), 7);

        Assert.Null(queue.TakeDue(6));
        Assert.Equal(Enumerable.Range(0, 1_000), Enumerable.Range(0, 1_000).Select(_ => ((Bell)queue.TakeDue(7)!).Id));
    }

    private sealed class Bell(int id) : DueTimer
    {
        public int Id { get; } = id;

        public override void Fire(State state, Decision decision) => throw new InvalidOperationException("Not fired here.");
    }
}
