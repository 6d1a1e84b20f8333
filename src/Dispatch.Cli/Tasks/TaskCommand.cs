using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary><c>dispatch task ...</c>: look at tasks and steer them.</summary>
internal static class TaskCommand
{
    public static Command Create() => new DispatchCommand("task", "Look at tasks and steer them")
    {
        Examples = ["dispatch task list --status pending,running", "dispatch task show 0198c0de-7f00-7000-8000-000000000001"],
        Subcommands =
        {
            List(), Show(), WatchCommand.Create(), Cancel(), Retry(), Explain(), History(),
        },
    };

    /// <summary>The ids a command is to act on.</summary>
    public static Argument<string[]> Ids() => new("ID") { Description = "Ids of tasks", Arity = ArgumentArity.OneOrMore };

    private static Argument<string> Id() => new("ID") { Description = "Id of the task" };

    private static DispatchCommand List()
    {
        var status = new Option<string[]>("--status") { Description = "Only these states; may repeat, or be a list with commas", HelpName = "STATE" };
        status.CompletionSources.Add("scheduled", "blocked", "pending", "assigned", "running", "completed", "failed", "timeout", "cancelled");
        var requester = new Option<string?>("--requester") { Description = "Only what this agent submitted", HelpName = "ID" };
        var assignee = new Option<string?>("--assignee") { Description = "Only what this agent has or had", HelpName = "ID" };
        var scope = new Option<string?>("--scope") { Description = "Only this scope", HelpName = "NAME" };
        var owner = new Option<string?>("--owner") { Description = "Only this owner's", HelpName = "NAME" };
        var parent = new Option<string?>("--parent") { Description = "Only children of this task", HelpName = "ID" };
        var labels = Labels.Option("Only with this label; may repeat");
        var limit = Limits.Option(50);
        var all = new Option<bool>("--all") { Description = "Every match, not just the newest" };

        return new DispatchCommand("list", "List tasks, newest first")
        {
            Options = { status, requester, assignee, scope, owner, parent, labels, limit, all },
            Examples =
            [
                "dispatch task list",
                "dispatch task list --status failed,timeout --label team=search",
                "dispatch task list --all --json | jq -r '.[].id'",
            ],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var most = run.Get(limit);
            var filter = new TaskFilter
            {
                Status = [.. (run.Get(status) ?? []).SelectMany(states => states.Split(',', StringSplitOptions.RemoveEmptyEntries))],
                Requester = run.Get(requester),
                Assignee = run.Get(assignee),
                Scope = run.Get(scope),
                Owner = run.Get(owner),
                ParentId = run.Get(parent),
                Labels = Labels.Read(run.Get(labels)),
                Limit = Limits.Page(run.Get(all) ? null : most),
            };
            var tasks = client.ListAllTasksAsync(filter, run.Stop);
            await TaskView.WriteListAsync(run.Screen, run.Get(all) ? tasks : tasks.Take(most), "No such tasks.", run.Stop);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Show()
    {
        var id = Id();
        return new DispatchCommand("show", "Show one task with its attempts and result")
        {
            Arguments = { id },
            Examples = ["dispatch task show 0198c0de-7f00-7000-8000-000000000001", "dispatch task show ID --json | jq .result"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            TaskView.Write(run.Screen, await client.GetTaskAsync(run.Get(id), cancel: run.Stop));
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Cancel()
    {
        var ids = Ids();
        return new DispatchCommand("cancel", "Cancel tasks that have not ended; a worker that has one is told to stop")
        {
            Arguments = { ids },
            Examples =
            [
                "dispatch task cancel 0198c0de-7f00-7000-8000-000000000001",
                "dispatch task list --status pending --all --json | jq -r '.[].id' | xargs dispatch task cancel",
            ],
        }.Does(run => ForEachAsync(run, run.Get(ids), (client, id) => client.CancelTaskAsync(id, run.Stop)));
    }

    private static DispatchCommand Retry()
    {
        var ids = Ids();
        return new DispatchCommand("retry", "Put failed, timed-out or cancelled tasks back into the queue with fresh attempts")
        {
            Arguments = { ids },
            Examples = ["dispatch task retry 0198c0de-7f00-7000-8000-000000000001"],
        }.Does(run => ForEachAsync(run, run.Get(ids), (client, id) => client.RetryTaskAsync(id, run.Stop)));
    }

    private static DispatchCommand Explain()
    {
        var id = Id();
        return new DispatchCommand("explain", "Say why a task went to its agent, or why it still waits")
        {
            Arguments = { id },
            Examples = ["dispatch task explain 0198c0de-7f00-7000-8000-000000000001"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            ExplanationView.Write(run.Screen, await client.ExplainTaskAsync(run.Get(id), run.Stop));
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand History()
    {
        var id = Id();
        return new DispatchCommand("history", "Show everything that happened to a task, oldest first")
        {
            Arguments = { id },
            Examples = ["dispatch task history 0198c0de-7f00-7000-8000-000000000001"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            HistoryView.Write(run.Screen, await client.GetTaskHistoryAsync(run.Get(id), run.Stop));
            return ExitCode.Ok;
        });
    }

    /// <summary>Does the same to several tasks; one that is refused does not keep the others from it.</summary>
    /// <returns>The exit code of the first refusal.</returns>
    private static async Task<int> ForEachAsync(Invocation run, IEnumerable<string> ids, Func<DispatchClient, string, Task<DispatchTask>> act)
    {
        using var client = run.Connect();
        var exit = ExitCode.Ok;
        foreach (var id in ids)
        {
            try
            {
                var task = await act(client, id);
                if (run.Screen.Json)
                    run.Screen.WriteJson(DispatchJson.Write(task));
                else
                    run.Screen.Line($"{task.Id}  {TaskView.Describe(task)}");
            }
            catch (DispatchException refused)
            {
                var fault = CommandFault.Of(refused);
                DispatchCommand.Report(run.Screen, fault with { Message = fault.Message.Contains(id, StringComparison.Ordinal) ? fault.Message : $"{id}: {fault.Message}" });
                if (exit == ExitCode.Ok)
                    exit = fault.ExitCode;
            }
        }

        return exit;
    }
}
