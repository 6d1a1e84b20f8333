using Dispatch.Matching;
using Dispatch.Tasks;

namespace Dispatch.Tests.Matching;

public sealed class WaitingLineTests
{
    private const long Aging = 1_000;

    [Fact]
    public void The_most_urgent_task_is_the_one_a_plain_search_finds()
    {
        for (var seed = 0; seed < 40; seed++)
        {
            var random = new Random(seed);
            var line = new WaitingLine(1, Requirement.Anyone, null, null);
            var model = new List<TaskEntry>();
            long now = 1_000_000;
            long number = 0;
            for (var step = 0; step < 1_500; step++)
            {
                now += random.Next(50);
                switch (random.Next(6))
                {
                    case <= 1:
                        Join(Entry(++number, (byte)random.Next(11), now));
                        break;
                    case 2 when model.Count > 0:
                        Leave(model[random.Next(model.Count)]);
                        break;
                    case 3 when model.Count > 0:
                        // Given out and handed back: it returns into the middle.
                        var back = model[random.Next(model.Count)];
                        Leave(back);
                        Join(back);
                        break;
                    case 4 when model.Count > 0:
                        var moved = model[random.Next(model.Count)];
                        Leave(moved);
                        moved.Task = moved.Task with { Priority = (byte)random.Next(11) };
                        Join(moved);
                        break;
                    case 5 when model.Count > 0:
                        Leave(line.Peek(Aging)!);
                        break;
                }

                Assert.Equal(model.Count, line.Count);
                Assert.Same(model.MinBy(entry => (entry.QueueKey(Aging), entry.Task.Number)), line.Peek(Aging));
                Assert.Equal(model.Count == 0 ? null : model.Min(entry => entry.Task.QueuedAt), line.OldestQueuedAt());
            }

            void Join(TaskEntry entry)
            {
                line.Add(entry, Aging);
                model.Add(entry);
            }

            void Leave(TaskEntry entry)
            {
                line.Remove(entry);
                model.Remove(entry);
            }
        }
    }

    [Fact]
    public void Equal_tasks_go_first_in_first_out()
    {
        var line = new WaitingLine(1, Requirement.Anyone, null, null);
        for (var number = 1; number <= 100; number++)
            line.Add(Entry(number, 5, 77), Aging);

        for (var number = 1; number <= 100; number++)
        {
            var first = line.Peek(Aging)!;
            Assert.Equal(number, first.Task.Number);
            line.Remove(first);
        }
    }

    [Fact]
    public void Each_full_step_of_ageing_is_worth_one_of_priority()
    {
        foreach (var (waited, wins) in ((long, long)[])[(6 * Aging - 1, 2), (6 * Aging, 1), (6 * Aging + 1, 1)])
        {
            var line = new WaitingLine(1, Requirement.Anyone, null, null);
            line.Add(Entry(1, 2, 0), Aging);
            line.Add(Entry(2, 8, waited), Aging);
            Assert.Equal(wins, line.Peek(Aging)!.Task.Number);
        }
    }

    private static TaskEntry Entry(long number, byte priority, long queuedAt) => new(
        new WorkTask
        {
            Id = new TaskId(new Guid((int)number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)),
            Number = number,
            Status = TaskState.Pending,
            Needs = Requirement.Anyone,
            Requester = "alice",
            Priority = priority,
            MaxRetries = 3,
            TimeoutMs = 1,
            CreatedAt = queuedAt,
            QueuedAt = queuedAt,
        },
        null);
}
