using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary><c>dispatch task watch</c>.</summary>
internal static class WatchCommand
{
    public static Command Create()
    {
        var ids = TaskCommand.Ids();
        return new DispatchCommand("watch", "Follow tasks until all have ended; exit 1 when one ended other than completed")
        {
            Arguments = { ids },
            Examples =
            [
                "dispatch task watch 0198c0de-7f00-7000-8000-000000000001",
                "dispatch task watch ID --json        # one line for every change",
            ],
        }.Does(async run =>
        {
            using var client = run.Connect(patience: TaskWatch.Patience);
            var watch = new TaskWatch(client);
            var wanted = run.Get(ids).Distinct().ToList();

            // Asked at once and without patience, so that a wrong id or an absent broker is told at once.
            using (var brisk = run.Connect())
            {
                foreach (var id in wanted)
                    await brisk.GetTaskAsync(id, cancel: run.Stop);
            }

            var ended = await Task.WhenAll(wanted.Select(id => watch.FollowAsync(id, task => Tell(run, task, wanted.Count > 1), run.Stop)));
            return ended.All(task => task.Status == TaskState.Completed) ? ExitCode.Ok : ExitCode.Failed;
        });
    }

    private static void Tell(Invocation run, DispatchTask task, bool several)
    {
        if (run.Screen.Json)
            run.Screen.WriteJson(DispatchJson.Write(task));
        else
            run.Screen.Line($"{TimeProvider.System.GetLocalNow():HH:mm:ss}  {(several ? task.Id + "  " : "")}{TaskView.Describe(task)}");
    }
}
