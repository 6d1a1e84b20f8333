using System.CommandLine;
using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Programs;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Demo;

/// <summary><c>dispatch demo</c>: a broker, five workers, real work, and one of them killed half-way.</summary>
internal static class DemoCommand
{
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(150);
    private static readonly TimeSpan WorkPatience = TimeSpan.FromMinutes(3);

    public static Command Create()
    {
        var directory = new Argument<string>("DIR") { Description = "Where to take text files from", DefaultValueFactory = _ => "." };
        var files = Numbers.Option("--files", "At most this many files, 1 to 333", 1, 333, standard: 300, "the report can wait for no more than 1,000 tasks");
        return new DispatchCommand("demo", "Watch real work being brokered between real workers, one of which is killed half-way")
        {
            Arguments = { directory },
            Options = { files },
            Examples = ["dispatch demo", "dispatch demo ~/src/project --files 100", "dispatch demo --json > demo.json"],
            Remarks = """
                It starts a broker on free ports and five workers, all with a temporary directory as their home, and ends and
                removes all of it afterwards. Your own broker and files are left alone: files are only read.
                """,
        }.Does(run => RunAsync(run, run.Get(directory), run.Get(files)));
    }

    private static async Task<int> RunAsync(Invocation run, string directory, int most)
    {
        if (OperatingSystem.IsWindows())
            throw CommandException.Usage("The demo's workers run sh, wc, awk and sha256sum, which are not on Windows.", "Run it in WSL.");
        if (!Directory.Exists(directory))
            throw CommandException.Usage($"There is no directory {directory}");
        var sources = SourceFiles.Find(Path.GetFullPath(directory), most);
        if (sources.Chosen.Count == 0)
            throw CommandException.Usage($"There are no text files under {directory}", "Name another directory: dispatch demo DIR");

        var board = new DemoBoard(run.Screen, (sources.Chosen.Count * 3) + 1);
        board.Say(sources.Found == sources.Chosen.Count
            ? $"{sources.Found} text files under {directory}"
            : $"{sources.Found} text files under {directory}, of which {sources.Chosen.Count} are taken (--files)");

        DemoSummary summary;
        await using (var stage = DemoStage.Create(board.Say))
        {
            using var client = await stage.StartBrokerAsync(run.Stop);
            board.Say($"a broker at {client.Server}, its data in {stage.Data}");
            var cast = DemoWorker.All(stage.Root);
            await stage.StartWorkersAsync(cast, client, run.Stop);
            foreach (var worker in cast)
                board.Say($"  {worker.Id,-9} {string.Join(", ", worker.Capabilities)}; {worker.Max} at once; {worker.Character}");

            summary = await WorkAsync(run, board, stage, client, sources);
            await stage.StopAsync();
            var (words, sound) = await ExamineAsync(stage, run.Stop);
            summary = summary with { Doctor = words, StoreIsSound = sound };
        }

        summary = summary with { TookMs = (long)board.Elapsed.TotalMilliseconds };
        if (run.Screen.Json)
            run.Screen.WriteJson(JsonSerializer.Serialize(summary, DemoJson.Default.DemoSummary));
        else
            summary.Write(run.Screen);
        return summary.IsGood ? ExitCode.Ok : ExitCode.Failed;
    }

    private static async Task<DemoSummary> WorkAsync(Invocation run, DemoBoard board, DemoStage stage, DispatchClient client, SourceFiles sources)
    {
        var ids = (await client.SubmitAsync(DemoTask.ForFiles(sources.Chosen), run.Stop)).Tasks.Select(task => task.Id).ToList();
        var report = (await client.SubmitAsync(DemoTask.ReportOn(ids), run.Stop)).Task;
        board.Tell($"{ids.Count} tasks submitted, and a report that waits for all of them");

        IReadOnlyList<DispatchTask>? held = null;
        await board.ShowAsync(async show =>
        {
            using var timer = new PeriodicTimer(Glance, TimeProvider.System);
            do
            {
                var statistics = await client.GetStatisticsAsync(run.Stop);
                show(statistics);
                if (held is null && statistics.Tasks.GetValueOrDefault(TaskState.Completed) >= ids.Count / 2)
                    held = await KillAsync(board, stage, client, statistics, ids.Count, run.Stop);
                report = await client.GetTaskAsync(report.Id, cancel: run.Stop);
                await timer.WaitForNextTickAsync(run.Stop);
            }
            while (!report.IsFinal && board.Elapsed < WorkPatience);
            show(await client.GetStatisticsAsync(run.Stop));
        });

        return await DemoSummary.ReadAsync(client, report, ids.Count, sources.Chosen.Count, held ?? [], run.Stop);
    }

    /// <summary>Kills the victim while it has work in hand; near the end, also when it has none.</summary>
    /// <returns>What it had in hand; null when it lives on.</returns>
    private static async Task<IReadOnlyList<DispatchTask>?> KillAsync(DemoBoard board, DemoStage stage, DispatchClient client, Statistics statistics, int total, CancellationToken stop)
    {
        var held = await client.GetHeldTasksAsync(DemoWorker.Victim, stop);
        if (held.Count == 0 && statistics.Tasks.GetValueOrDefault(TaskState.Completed) < total * 9 / 10)
            return null;
        var victim = stage.Workers.Single(worker => worker.Name == DemoWorker.Victim);
        victim.Kill();
        await victim.Exited;
        board.Tell($"killed {victim.Name} (process {victim.Id}) with SIGKILL; it had {Plural.Of(held.Count, "task")} in hand");
        return held;
    }

    private static async Task<(string Words, bool Sound)> ExamineAsync(DemoStage stage, CancellationToken stop)
    {
        await using var doctor = DemoProcess.Start("doctor", stage.Root,
            ["doctor", "--config", Path.Combine(stage.Root, "dispatch.yaml"), "--data-dir", stage.Data], watchdog: null);
        var exit = await doctor.Exited.WaitAsync(stop);
        await doctor.StopAsync(TimeSpan.Zero);
        var words = (await File.ReadAllTextAsync(doctor.Log, stop)).TrimEnd();
        return (words, exit == new ProgramExit(ExitCode.Ok));
    }
}
