using System.Text;
using Dispatch.Tasks;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Tasks;

public sealed class TaskStatesPageTests
{
    [Fact]
    public void The_page_of_task_states_says_what_the_table_says() => GeneratedPage.Check("task-states.md", Page());

    private static string Page()
    {
        var page = new StringBuilder();
        page.Append("""
            # Task states

            Written from the table in `src/Dispatch/Tasks/TaskTransitions.cs`, the only code that knows which move is allowed; a test compares the two.
            An event that its row does not allow in the task's state is never written to the log.

            ```mermaid
            stateDiagram-v2
                [*] --> pending: task.created
                [*] --> scheduled: task.created
                [*] --> blocked: task.created

            """);
        foreach (var (from, to, label) in Moves())
            page.Append($"    {from} --> {to}: {label}\n");
        foreach (var state in Enum.GetValues<TaskState>().Where(state => state >= TaskState.Completed))
            page.Append($"    {Word(state)} --> [*]\n");
        page.Append("""
            ```

            The moves that `task.cancelled`, `task.timed_out` and a person's `task.retried` make are in the table only, and those that leave the state as it is:

            | Event | May happen to a task that is | It is then |
            |---|---|---|

            """);
        foreach (var (kind, from, to) in TaskTransitions.Table)
            page.Append($"| `{kind.Name}` | {string.Join(", ", TaskTransitions.StatesOf(from).Select(Word))} | {(to is { } state ? Word(state) : After(kind.Name))} |\n");
        page.Append("""

            A failed or timed-out attempt with retries left is `task.failed` or `task.timed_out` and `task.retried` in one commit: nobody sees the state
            in between. Without any left it is `task.dead_lettered` that follows. `task.pruned` removes finished tasks past their retention.

            """);
        return page.ToString();
    }

    // One arrow for each way through, and not one for each event from each state: the picture is for a person.
    private static IEnumerable<(string From, string To, string Label)> Moves()
    {
        yield return ("scheduled", "pending", "due");
        yield return ("scheduled", "blocked", "due, dependencies not met or not confirmed");
        yield return ("blocked", "pending", "dependencies met");
        foreach (var (kind, from, to) in TaskTransitions.Table)
        {
            if (to is not { } target || kind == TaskCancelled.Is || kind == TaskTimedOut.Is)
                continue;
            foreach (var state in TaskTransitions.StatesOf(from))
                yield return (Word(state), Word(target), kind.Name);
        }

        foreach (var state in TaskTransitions.StatesOf(TaskTransitions.Table.Single(row => row.Event == TaskReassigned.Is).From))
            yield return (Word(state), "pending", TaskReassigned.Is.Name);
        foreach (var state in TaskTransitions.StatesOf(TaskTransitions.Table.Single(row => row.Event == TaskTimedOut.Is).From).Where(state => state > TaskState.Pending))
            yield return (Word(state), "timeout", TaskTimedOut.Is.Name);
        yield return ("failed", "pending", TaskRetried.Is.Name);
        yield return ("timeout", "pending", TaskRetried.Is.Name);
    }

    private static string After(string kind) => kind switch
    {
        "task.reassigned" => "pending while retries are left, else failed",
        "task.retried" => "pending; by a person also scheduled or blocked when it never got as far as the queue",
        "task.updated" => "unchanged, or what the event says: pending or blocked when due, pending when its dependencies are met and it is confirmed",
        _ => "unchanged",
    };

    private static string Word(TaskState state) => state.ToString().ToLowerInvariant();
}
