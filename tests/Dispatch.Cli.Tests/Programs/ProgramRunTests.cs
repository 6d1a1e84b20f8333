using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Dispatch.Cli.Programs;
using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.Programs;

public sealed class ProgramRunTests : IAsyncLifetime
{
    private readonly TemporaryDirectory directory = new();
    private readonly List<(int Percent, string? Message)> progress = [];
    private ProgramLauncher launcher = null!;

    public Task InitializeAsync()
    {
        launcher = ProgramLauncher.Create(TimeSpan.FromSeconds(5), warning => Assert.Fail(warning));
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        await launcher.DisposeAsync();
        directory.Dispose();
    }

    [Theory]
    [InlineData("; rm -rf ~")]
    [InlineData("two words")]
    [InlineData("it's \"quoted\" \\ back")]
    [InlineData("line one\nline two\n")]
    [InlineData("$(id) `id` $HOME *")]
    [InlineData("")]
    [InlineData("ünï 漢字 🚀")]
    public async Task An_argument_reaches_the_program_as_it_is(string argument)
    {
        var verdict = await RunAsync(["sh", "-c", "printf '%s' \"$#:$1\" | base64 -w0 | sed 's/.*/{\"got\":\"&\"}/'", "_", argument]);

        var got = Completed(verdict)!.Value.GetProperty("got").GetString()!;
        Assert.Equal("1:" + argument, Encoding.UTF8.GetString(Convert.FromBase64String(got)));
    }

    [Fact]
    public async Task The_task_arrives_on_standard_input()
    {
        var verdict = await RunAsync(["cat"], input: """{"id":"t-1","title":"hello"}""");
        Assert.Equal("hello", Completed(verdict)!.Value.GetProperty("title").GetString());
    }

    [Fact]
    public async Task A_program_need_not_read_its_input()
    {
        var verdict = await RunAsync(["sh", "-c", "exec <&-; echo done"], input: new string('x', 2_000_000));
        Assert.Equal("done", Completed(verdict)!.Value.GetProperty("output").GetString());
    }

    [Fact]
    public async Task Variables_are_added_and_the_admin_token_is_not_handed_on()
    {
        Environment.SetEnvironmentVariable("DISPATCH_ADMIN_TOKEN", "secret");
        try
        {
            await using var fresh = ProgramLauncher.Create(TimeSpan.FromSeconds(5), warning => Assert.Fail(warning));
            var verdict = await new ProgramRun(fresh, TimeSpan.FromSeconds(5), TimeProvider.System).RunAsync(
                ["sh", "-c", "echo \"$DISPATCH_TASK_TITLE|$DISPATCH_ADMIN_TOKEN|$PATH\""],
                new Dictionary<string, string> { ["DISPATCH_TASK_TITLE"] = "a\nb" }, default, (_, _) => { }, CancellationToken.None);
            Assert.Equal($"a\nb||{Environment.GetEnvironmentVariable("PATH")}", Completed(verdict)!.Value.GetProperty("output").GetString());
        }
        finally
        {
            Environment.SetEnvironmentVariable("DISPATCH_ADMIN_TOKEN", null);
        }
    }

    [Theory]
    [InlineData(75, true)]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(255, false)]
    public async Task Exit_codes_tell_whether_to_try_again(int code, bool retryable)
    {
        var verdict = Assert.IsType<ProgramVerdict.Failed>(await RunAsync(["sh", "-c", $"echo first >&2; echo why >&2; exit {code}"]));
        Assert.Equal(retryable, verdict.Retryable);
        Assert.Equal($"exit code {code}: first\nwhy", verdict.Error);
    }

    [Fact]
    public async Task A_program_ended_by_a_signal_has_failed_for_good()
    {
        var verdict = Assert.IsType<ProgramVerdict.Failed>(await RunAsync(["sh", "-c", "kill -SEGV $$"]));
        Assert.False(verdict.Retryable);
        Assert.StartsWith("ended by SIGSEGV", verdict.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_program_that_is_not_there_is_told_so()
    {
        var verdict = Assert.IsType<ProgramVerdict.Failed>(await RunAsync(["dispatch-no-such-program"]));
        Assert.True(verdict.Retryable);
        Assert.Contains("no such program", verdict.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Arguments_that_are_too_long_fail_for_good()
    {
        var verdict = Assert.IsType<ProgramVerdict.Failed>(await RunAsync(["echo", new string('x', 3_000_000)]));
        Assert.False(verdict.Retryable);
    }

    [Fact]
    public async Task Progress_lines_are_passed_on_and_others_are_kept()
    {
        var verdict = Assert.IsType<ProgramVerdict.Failed>(await RunAsync(
            ["sh", "-c", "echo 'progress 40 half way' >&2; echo progress 41 >&2; echo 'progress 400 no' >&2; printf 'last' >&2; exit 1"]));
        Assert.Equal([(40, "half way"), (41, null)], progress);
        Assert.Equal("exit code 1: progress 400 no\nlast", verdict.Error);
    }

    [Fact]
    public async Task Only_the_last_lines_of_standard_error_are_kept()
    {
        var verdict = Assert.IsType<ProgramVerdict.Failed>(await RunAsync(["sh", "-c", "seq 1 1000 >&2; exit 1"]));
        Assert.Equal("exit code 1: " + string.Join('\n', Enumerable.Range(981, 20)), verdict.Error);
    }

    [Fact]
    public async Task Errors_never_grow_beyond_what_the_broker_takes()
    {
        var verdict = Assert.IsType<ProgramVerdict.Failed>(await RunAsync(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 5000 /dev/zero | tr '\\0' x >&2; echo >&2; done; exit 3"]));
        Assert.InRange(verdict.Error.Length, 7_000, 8_192);
    }

    [Fact]
    public async Task Bytes_that_are_no_text_do_no_harm()
    {
        var verdict = await RunAsync(["sh", "-c", "printf 'a\\377\\376b\\300'"]);
        Assert.Equal("a\ufffd\ufffdb\ufffd", Completed(verdict)!.Value.GetProperty("output").GetString());
    }

    [Fact]
    public async Task Output_beyond_the_limit_is_cut_and_says_so()
    {
        var verdict = await RunAsync(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]);
        var result = Completed(verdict)!.Value;
        Assert.True(result.GetProperty("truncated").GetBoolean());
        Assert.Equal(3_000_000, result.GetProperty("output_bytes").GetInt32());
        Assert.InRange(result.GetRawText().Length, ProgramRun.OutputLimit - 100, ProgramRun.OutputLimit);
    }

    [Fact]
    public async Task A_program_starts_with_no_signal_ignored_or_blocked()
    {
        // .NET ignores SIGPIPE. A program that inherits that does not end when nobody reads what it writes.
        const ulong ofThePlatform = 0x1_8000_0000; // 32 and 33 are the C library's own.
        var own = Masks(await File.ReadAllTextAsync("/proc/self/status"));
        Assert.NotEqual(0UL, own.Ignored & ~ofThePlatform);

        var verdict = await RunAsync(["cat", "/proc/self/status"]);

        var masks = Masks(Completed(verdict)!.Value.GetProperty("output").GetString()!);
        Assert.Equal((0UL, 0UL), (masks.Blocked, masks.Ignored & ~ofThePlatform));

        static (ulong Blocked, ulong Ignored) Masks(string status) => (Mask(status, "SigBlk"), Mask(status, "SigIgn"));
        static ulong Mask(string status, string name) =>
            Convert.ToUInt64(status.Split('\n').Single(line => line.StartsWith(name, StringComparison.Ordinal)).Split('\t')[1], 16);
    }

    [Fact]
    public async Task Stopping_ends_children_and_grandchildren()
    {
        var pids = directory.File("pids");
        using var stop = new CancellationTokenSource();
        var running = RunAsync(["sh", "-c", $"sleep 300 & echo $! > '{pids}.part'; sh -c 'sleep 301 & echo $!; wait' >> '{pids}.part' & echo $$ >> '{pids}.part'; while [ $(wc -l < '{pids}.part') -lt 3 ]; do :; done; mv '{pids}.part' '{pids}'; wait"], stop: stop.Token);
        await Eventually.HoldsAsync(() => File.Exists(pids), "the program has started its children");
        var ids = File.ReadAllLines(pids).Select(int.Parse).ToList();
        Assert.All(ids, id => Assert.True(LiveProcess.Exists(id)));

        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);

        await Eventually.HoldsAsync(() => !ids.Any(LiveProcess.Exists), "all of them are gone");
    }

    [Fact]
    public async Task Stopping_is_polite_at_first()
    {
        var ready = directory.File("ready");
        var cleaned = directory.File("cleaned");
        using var stop = new CancellationTokenSource();
        var running = RunAsync(["sh", "-c", $"trap 'touch {cleaned}; exit 0' TERM; touch {ready}; while :; do sleep 0.05; done"], stop: stop.Token);
        await Eventually.HoldsAsync(() => File.Exists(ready), "the program is ready");

        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.True(File.Exists(cleaned));
    }

    [Fact]
    public async Task A_program_that_will_not_end_is_killed_after_the_grace()
    {
        var ready = directory.File("ready");
        using var stop = new CancellationTokenSource();
        var running = RunAsync(["sh", "-c", $"trap '' TERM; echo $$ > {ready}.part; mv {ready}.part {ready}; while :; do sleep 0.05; done"], stop: stop.Token, grace: TimeSpan.FromMilliseconds(300));
        await Eventually.HoldsAsync(() => File.Exists(ready), "the program is ready");
        var id = int.Parse(File.ReadAllText(ready));

        var waited = Stopwatch.StartNew();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.True(waited.Elapsed >= TimeSpan.FromMilliseconds(300));
        Assert.False(LiveProcess.Exists(id));
    }

    [Fact]
    public async Task What_a_finished_program_left_running_is_ended()
    {
        var left = directory.File("left");
        var verdict = await RunAsync(["sh", "-c", $"sleep 300 & echo $! > {left}; echo done"]);
        Assert.Equal("done", Completed(verdict)!.Value.GetProperty("output").GetString());
        var id = int.Parse(File.ReadAllText(left));
        await Eventually.HoldsAsync(() => !LiveProcess.Exists(id), "the process left behind is gone");
    }

    [Fact]
    public async Task A_process_that_left_the_group_does_not_hold_up_the_result()
    {
        var left = directory.File("left");
        var verdict = await RunAsync(["sh", "-c", $"setsid sleep 20 & echo $! > {left}; echo done"]);
        Assert.Equal("done", Completed(verdict)!.Value.GetProperty("output").GetString());
        _ = Libc.kill(int.Parse(File.ReadAllText(left)), Libc.SigKill);
    }

    [Fact]
    public async Task Many_programs_at_once_each_end_with_their_own_code()
    {
        var verdicts = await Task.WhenAll(Enumerable.Range(0, 60).Select(code => RunAsync(["sh", "-c", $"echo {code} >&2; exit {code + 1}"])));
        Assert.Equal(
            Enumerable.Range(0, 60).Select(code => $"exit code {code + 1}: {code}"),
            verdicts.Select(verdict => ((ProgramVerdict.Failed)verdict).Error));
    }

    [Fact]
    public async Task Where_there_are_no_process_groups_the_tree_is_ended()
    {
        await using var process = ManagedProcess.Start(["sh", "-c", "sleep 300 & echo $!; wait"], new Dictionary<string, string> { ["PATH"] = "/usr/bin:/bin" });
        var child = int.Parse((await new StreamReader(process.Output).ReadLineAsync())!);

        process.Terminate();

        Assert.NotEqual(0, (await process.Exited).Code);
        await Eventually.HoldsAsync(() => !LiveProcess.Exists(child), "the child is gone");
    }

    private static JsonElement? Completed(ProgramVerdict verdict) => Assert.IsType<ProgramVerdict.Completed>(verdict).Result;

    private Task<ProgramVerdict> RunAsync(IReadOnlyList<string> words, string input = "", TimeSpan? grace = null, CancellationToken stop = default) =>
        new ProgramRun(launcher, grace ?? TimeSpan.FromSeconds(5), TimeProvider.System).RunAsync(
            words, new Dictionary<string, string>(), Encoding.UTF8.GetBytes(input), (percent, message) => progress.Add((percent, message)), stop);
}
