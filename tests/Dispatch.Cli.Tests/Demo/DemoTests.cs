using System.Text.Json;
using Dispatch.Cli.Demo;
using Dispatch.Cli.Programs;
using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.Demo;

public sealed class DemoTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly TemporaryDirectory temporary = new();

    public void Dispose()
    {
        directory.Dispose();
        temporary.Dispose();
    }

    [Fact]
    public async Task Real_workers_do_real_work_and_one_that_is_killed_loses_nothing()
    {
        for (var i = 1; i <= 30; i++)
            directory.Write($"file {i:00} it's.txt", string.Concat(Enumerable.Repeat("line\n", i)) + (i == 17 ? new string('x', 90) + "\n" : ""));

        var outcome = await DispatchProcess.RunAsync(["demo", directory.Path, "--json"], environment: Temporary());

        Assert.True(outcome.ExitCode == 0, outcome.Output + outcome.Errors);
        var summary = JsonElement.Parse(outcome.Output);
        Assert.Equal((91, 91), (summary.GetProperty("tasks").GetInt32(), summary.GetProperty("completed").GetInt32()));
        Assert.True(summary.GetProperty("store_is_sound").GetBoolean());
        Assert.True(summary.GetProperty("retried").GetInt32() > 0);
        var report = summary.GetProperty("report");
        Assert.Equal((30, 466, 30), (report.GetProperty("files").GetInt32(), report.GetProperty("lines").GetInt32(), report.GetProperty("distinct_hashes").GetInt32()));
        Assert.Equal((directory.File("file 30 it's.txt"), 30), (report.GetProperty("largest").GetString(), report.GetProperty("largest_lines").GetInt32()));
        Assert.Equal((directory.File("file 17 it's.txt"), 90), (report.GetProperty("widest").GetString(), report.GetProperty("widest_columns").GetInt32()));
        Assert.Contains("killed hasher", outcome.Errors, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(temporary.Path));
    }

    [Fact]
    public async Task Interrupted_it_cleans_up_after_itself()
    {
        for (var i = 1; i <= 300; i++)
            directory.Write($"{i}.txt", "x\n");
        await using var demo = DispatchProcess.Start(["demo", directory.Path], Temporary());
        await Eventually.HoldsAsync(() => File.Exists(Log("sleeper")), "the workers are started");
        var ids = Processes();
        Assert.True(ids.Count >= 7, string.Join(' ', ids));

        _ = Libc.kill(demo.Id, 2);

        Assert.Equal(130, (await demo.EndAsync()).ExitCode);
        Assert.DoesNotContain(ids, LiveProcess.Exists);
        Assert.Empty(Directory.GetFileSystemEntries(temporary.Path));
    }

    [Fact]
    public async Task Killed_outright_it_leaves_no_process_behind()
    {
        for (var i = 1; i <= 300; i++)
            directory.Write($"{i}.txt", "x\n");
        await using var demo = DispatchProcess.Start(["demo", directory.Path], Temporary());
        await Eventually.HoldsAsync(() => File.Exists(Log("sleeper")), "the workers are started");
        var ids = Processes();
        Assert.True(ids.Count >= 7, string.Join(' ', ids));

        _ = Libc.kill(demo.Id, Libc.SigKill);

        await Eventually.HoldsAsync(() => !ids.Any(LiveProcess.Exists), "the broker and the workers are gone");
    }

    [Fact]
    public void Of_too_many_files_some_of_everywhere_are_taken()
    {
        for (var i = 0; i < 100; i++)
            directory.Write($"{i:000}.txt", "text");
        directory.Write("binary", "a\0b");
        directory.Write("empty", "");
        directory.Write("large", new string('x', (1 << 20) + 1));
        foreach (var skipped in new[] { ".git", "artifacts", "bin" })
        {
            Directory.CreateDirectory(directory.File(skipped));
            directory.Write(skipped + "/x.txt", "text");
        }

        File.CreateSymbolicLink(directory.File("loop"), directory.Path);

        var found = SourceFiles.Find(directory.Path, 10);

        Assert.Equal(100, found.Found);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => directory.File($"{i * 10:000}.txt")), found.Chosen);
    }

    [Fact]
    public async Task A_directory_without_text_is_told()
    {
        var outcome = await DispatchProcess.RunAsync(["demo", directory.Path]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains("no text files", outcome.Errors, StringComparison.Ordinal);
    }

    private Dictionary<string, string?> Temporary() => new() { ["TMPDIR"] = temporary.Path };

    private string Log(string name) => Path.Combine(Directory.GetDirectories(temporary.Path).FirstOrDefault() ?? temporary.Path, name + ".log");

    /// <summary>Every process with this test's directory in its environment: the demo and all that it started.</summary>
    private List<int> Processes() =>
        [.. Directory.GetDirectories("/proc").Select(Path.GetFileName).Where(name => int.TryParse(name, out _)).Select(name => int.Parse(name!))
            .Where(id => LiveProcess.Exists(id) && Environ(id).Contains(temporary.Path, StringComparison.Ordinal))];

    private static string Environ(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/environ");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }
}
