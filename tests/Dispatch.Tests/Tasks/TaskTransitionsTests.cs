using Dispatch.Matching;
using Dispatch.Tasks;

namespace Dispatch.Tests.Tasks;

public sealed class TaskTransitionsTests
{
    private const int Seeds = 300;

    private static readonly TaskState[] States = Enum.GetValues<TaskState>();

    private static readonly MatchScore Why = new(1, 1, 1, 1, 0, 3, 1);

    public static TheoryData<TaskState> AllStates => [.. States];

    [Fact]
    public void Every_event_about_a_living_task_has_one_row()
    {
        var expected = TaskEvent.Kinds.Where(kind => kind != TaskCreated.Is && kind != TaskPruned.Is).Select(kind => kind.Name).Order(StringComparer.Ordinal);
        Assert.Equal(expected, TaskTransitions.Table.Select(row => row.Event.Name).Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(AllStates))]
    public void An_event_is_allowed_where_its_row_says_and_nowhere_else(TaskState from)
    {
        foreach (var data in Anything(In(from)))
        {
            var row = TaskTransitions.Table.Single(row => row.Event == data.Kind);
            Assert.Equal(TaskTransitions.StatesOf(row.From).Contains(from), TaskTransitions.Allows(from, data));
        }
    }

    [Theory]
    [MemberData(nameof(AllStates))]
    public void An_allowed_event_leads_where_its_row_says(TaskState from)
    {
        foreach (var data in Anything(In(from)).Where(data => TaskTransitions.Allows(from, data)))
        {
            if (TaskTransitions.Table.Single(row => row.Event == data.Kind).To is { } to)
                Assert.Equal(to, TaskTransitions.Next(In(from), data, 2_000).Status);
        }
    }

    [Fact]
    public void A_completed_task_never_changes()
    {
        Assert.DoesNotContain(Anything(In(TaskState.Completed)), data => TaskTransitions.Allows(TaskState.Completed, data));
    }

    [Fact]
    public void Every_state_can_be_reached()
    {
        var reached = new HashSet<TaskState>([TaskState.Pending, TaskState.Scheduled, TaskState.Blocked]);
        for (var before = 0; before != reached.Count;)
        {
            before = reached.Count;
            foreach (var from in reached.ToList())
            {
                foreach (var data in Anything(In(from)).Where(data => TaskTransitions.Allows(from, data)))
                    reached.Add(TaskTransitions.Next(In(from), data, 2_000).Status);
            }
        }

        Assert.Equal(States, reached.Order());
    }

    [Fact]
    public void Random_lives_keep_the_rules_of_a_task()
    {
        var seen = new HashSet<(TaskState, string)>();
        for (var seed = 0; seed < Seeds; seed++)
        {
            var random = new Random(seed);
            var task = In(random.Next(3) switch { 0 => TaskState.Scheduled, 1 => TaskState.Blocked, _ => TaskState.Pending });
            long now = 1_000;
            for (var step = 0; step < 60; step++)
            {
                now += random.Next(0, 3);
                var possible = Anything(task).Where(data => TaskTransitions.Allows(task.Status, data) && IsSensible(task, data)).ToList();
                if (possible.Count == 0)
                    break;
                var data = possible[random.Next(possible.Count)];
                var after = TaskTransitions.Next(task, data, now);
                seen.Add((task.Status, data.Kind.Name));
                AssertStep(task, data, after, now);
                task = after;
            }
        }

        // Every row was walked from every state it names.
        Assert.All(TaskTransitions.Table, row => Assert.All(TaskTransitions.StatesOf(row.From), from => Assert.Contains((from, row.Event.Name), seen)));
    }

    [Theory]
    [InlineData(TaskState.Assigned)]
    [InlineData(TaskState.Running)]
    public void Each_way_out_of_a_held_state_ends_exactly_one_attempt(TaskState held)
    {
        foreach (var data in Anything(In(held)).Where(data => TaskTransitions.Allows(held, data) && (IsSensible(In(held), data) || data is TaskReassigned)))
        {
            var ended = TaskTransitions.EndOfAttempt(In(held), data, 2_000);
            Assert.Equal(!TaskTransitions.Next(In(held), data, 2_000).IsHeld, ended is not null);
            if (ended is not null)
                Assert.Equal((4, "w", 2_000L), (ended.Attempt, ended.Agent, ended.EndedAt));
        }
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1_999, 0)]
    [InlineData(2_000, 0)]
    [InlineData(2_001, 2_001)]
    public void Put_back_by_a_person_a_task_forgets_its_attempts_and_a_deadline_that_passed(long deadline, long kept)
    {
        var dead = In(TaskState.Failed) with { RetryCount = 3, DeadLettered = true, Deadline = deadline, Error = "broken", LastAgent = "w", LastOutcome = AttemptOutcome.Failed };
        var back = TaskTransitions.Next(dead, new TaskRetried(0, 2_000, Manual: true), 2_000);

        Assert.Equal((TaskState.Pending, 0, false, kept, 2_000), (back.Status, back.RetryCount, back.DeadLettered, back.Deadline, back.QueuedAt));
        Assert.Null(back.Error);
        Assert.Null(back.AvoidAgent);
        Assert.Equal(dead.Attempt, back.Attempt);
    }

    [Fact]
    public void Work_handed_back_keeps_its_place_in_the_queue_and_a_raised_priority_does_too()
    {
        var held = In(TaskState.Running) with { QueuedAt = 17 };
        Assert.Equal(17, TaskTransitions.Next(held, new TaskReleased("w", 4, "", null), 2_000).QueuedAt);
        Assert.Equal(17, TaskTransitions.Next(held, new TaskReassigned("w", 4, "", 1, true), 2_000).QueuedAt);

        var waiting = In(TaskState.Pending) with { QueuedAt = 17 };
        Assert.Equal(17, TaskTransitions.Next(waiting, new TaskUpdated("patched", null, 9, null), 2_000).QueuedAt);
        Assert.Equal(2_000, TaskTransitions.Next(In(TaskState.Blocked), new TaskUpdated("dependencies_met", TaskState.Pending, null, null), 2_000).QueuedAt);
    }

    // What the commands see to, beyond which event may follow which.
    private static bool IsSensible(WorkTask task, TaskEvent data) => data switch
    {
        TaskRetried { Manual: false } => task.Status is TaskState.Failed or TaskState.Timeout && !task.DeadLettered && task.RetryCount < task.MaxRetries,
        TaskReassigned { Requeued: var requeued } => requeued == task.RetryCount < task.MaxRetries,
        TaskDeadLettered => !task.DeadLettered,
        TaskUpdated { Status: { } status } => status == TaskState.Pending ? task.Status is TaskState.Scheduled or TaskState.Blocked : task.Status == TaskState.Scheduled,
        _ => true,
    };

    private static void AssertStep(WorkTask task, TaskEvent data, WorkTask after, long now)
    {
        Assert.InRange(after.RetryCount, 0, after.MaxRetries);
        Assert.Equal(data is TaskAssigned ? task.Attempt + 1 : task.Attempt, after.Attempt);
        Assert.Equal(after.Status is TaskState.Assigned or TaskState.Running, after.IsHeld);
        Assert.Equal(after.IsFinal, after.CompletedAt != 0);
        if (after.IsHeld)
            Assert.Equal(("w", true, after.Status == TaskState.Running), (after.Assignee, after.AssignedAt != 0, after.StartedAt != 0));
        if (after.Status is TaskState.Scheduled or TaskState.Blocked or TaskState.Pending)
            Assert.Equal((null, 0L, 0L, null), (after.Assignee, after.AssignedAt, after.StartedAt, after.Why));
        Assert.Equal(task.IsHeld && !after.IsHeld, TaskTransitions.EndOfAttempt(task, data, now) is not null);
        if (after.DeadLettered)
            Assert.Contains(after.Status, new[] { TaskState.Failed, TaskState.Timeout });
    }

    private static WorkTask In(TaskState state)
    {
        var held = state is TaskState.Assigned or TaskState.Running;
        var wasHeld = held || state >= TaskState.Completed;
        return new WorkTask
        {
            Id = new TaskId(new Guid(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
            Number = 1,
            Status = state,
            Needs = Requirement.Anyone,
            Requester = "alice",
            Priority = 5,
            MaxRetries = 3,
            TimeoutMs = 300_000,
            CreatedAt = 1,
            QueuedAt = 1,
            Attempt = wasHeld ? 4 : 0,
            Assignee = wasHeld ? "w" : null,
            AssignedAt = wasHeld ? 10 : 0,
            StartedAt = wasHeld && state != TaskState.Assigned ? 11 : 0,
            CompletedAt = state >= TaskState.Completed ? 12 : 0,
        };
    }

    private static IEnumerable<TaskEvent> Anything(WorkTask task)
    {
        yield return new TaskAssigned("w", task.Attempt + 1, 0, Why);
        yield return new TaskStarted("w", task.Attempt);
        yield return new TaskProgressed("w", task.Attempt, 40, "on the way", null);
        yield return new TaskCompleted("w", task.Attempt, null, null);
        yield return new TaskFailed("w", task.Attempt, "broken", true, null);
        yield return new TaskTimedOut(task.IsHeld ? "w" : null, task.Attempt, "too long");
        yield return new TaskReleased("w", task.Attempt, "not now", null);
        yield return new TaskReassigned("w", task.Attempt, "gone", Math.Min(task.RetryCount + 1, task.MaxRetries), true);
        yield return new TaskReassigned("w", task.Attempt, "gone", task.RetryCount, false);
        yield return new TaskRetried(Math.Min(task.RetryCount + 1, task.MaxRetries), 5_000, false);
        yield return new TaskRetried(0, 5_000, true);
        yield return new TaskCancelled("not wanted");
        yield return new TaskUpdated("patched", null, 7, null);
        yield return new TaskUpdated("due", TaskState.Blocked, null, null);
        yield return new TaskUpdated("due", TaskState.Pending, null, null);
        yield return new TaskUnmatched(WaitReason.NoAgents, "nobody");
        yield return new TaskDeadLettered(task.Status, "broken");
    }
}
