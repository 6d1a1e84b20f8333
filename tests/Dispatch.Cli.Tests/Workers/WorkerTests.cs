using System.Text.Json;
using Dispatch.Cli.Programs;
using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.Workers;

/// <summary><c>dispatch worker</c> as a real process, with a real broker and real programs.</summary>
[Collection(nameof(LiveBroker))]
public sealed class WorkerTests(LiveBroker broker) : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly string capability = "c-" + Guid.CreateVersion7().ToString("N");

    public void Dispose() => directory.Dispose();

    [Fact]
    public async Task A_program_becomes_an_agent()
    {
        var file = directory.Write("it's a \"file\" ; rm -rf x\n.txt", "one\ntwo\n");
        var id = await SubmitAsync("--context", JsonSerializer.Serialize(new Dictionary<string, string> { ["path"] = file }));

        var worker = await WorkAsync("cat -- {context.path}");

        var task = await broker.JsonAsync("task", "show", id);
        Assert.Equal("completed", task.GetProperty("status").GetString());
        Assert.Equal("one\ntwo", task.GetProperty("result").GetProperty("output").GetString());
        Assert.Contains("1 completed", worker.Errors, StringComparison.Ordinal);
        Assert.Equal("", worker.Output);
    }

    [Fact]
    public async Task The_program_is_told_everything_and_its_json_is_the_result()
    {
        var script = directory.Write("agent.sh", """
            cat > "$1/stdin.json"
            printf '{"id":"%s","attempt":%s,"title":"%s","agent":"%s"}' "$DISPATCH_TASK_ID" "$DISPATCH_ATTEMPT" "$DISPATCH_TASK_TITLE" "$DISPATCH_AGENT_ID"
            """);
        var id = await SubmitAsync("--context", """{"x":{"y":[5]}}""");

        await WorkAsync($"sh {script} {directory.Path}");

        var result = (await broker.JsonAsync("task", "show", id)).GetProperty("result");
        Assert.Equal((id, 1, "a title", "w-" + capability), (result.GetProperty("id").GetString(), result.GetProperty("attempt").GetInt32(), result.GetProperty("title").GetString(), result.GetProperty("agent").GetString()));
        var input = JsonElement.Parse(await File.ReadAllTextAsync(directory.File("stdin.json")));
        Assert.Equal(5, input.GetProperty("context").GetProperty("x").GetProperty("y")[0].GetInt32());
        Assert.Equal(id, input.GetProperty("id").GetString());
    }

    [Fact]
    public async Task Exit_75_is_tried_again_and_anything_else_is_not()
    {
        var flaky = await SubmitAsync("--context", """{"code":75}""");
        var broken = await SubmitAsync("--context", """{"code":3}""");
        var script = directory.Write("agent.sh", """
            if [ "$DISPATCH_ATTEMPT" -ge 3 ]; then echo '{"done":true}'; exit 0; fi
            echo "attempt $DISPATCH_ATTEMPT went wrong" >&2
            exit "$1"
            """);

        await WorkAsync($"sh {script} {{context.code}}");

        var first = await broker.JsonAsync("task", "show", flaky);
        Assert.Equal(("completed", 2), (first.GetProperty("status").GetString(), first.GetProperty("retry_count").GetInt32()));
        Assert.Equal("exit code 75: attempt 1 went wrong", first.GetProperty("attempts")[0].GetProperty("error").GetString());
        var second = await broker.JsonAsync("task", "show", broken);
        Assert.Equal(("failed", 0), (second.GetProperty("status").GetString(), second.GetProperty("retry_count").GetInt32()));
        Assert.Equal("exit code 3: attempt 1 went wrong", second.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_task_without_a_value_the_command_needs_fails_for_good()
    {
        var id = await SubmitAsync();
        await WorkAsync("cat {context.path}");
        var task = await broker.JsonAsync("task", "show", id);
        Assert.Equal("failed", task.GetProperty("status").GetString());
        Assert.Contains("{context.path}", task.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal(0, task.GetProperty("retry_count").GetInt32());
    }

    [Fact]
    public async Task Progress_is_seen_while_the_program_runs_and_a_cancelled_task_ends_all_of_it()
    {
        var id = await SubmitAsync();
        await using var worker = StartWorker($"sh {Sleeper()}");
        await broker.UntilAsync(id, task => task.TryGetProperty("progress", out var progress) && progress.TryGetProperty("percent", out var percent) && percent.GetDouble() == 40, "progress is reported");
        var ids = await PidsAsync();

        await broker.JsonAsync("task", "cancel", id);

        await Eventually.HoldsAsync(() => !ids.Any(LiveProcess.Exists), "the program and its child are gone");
        await StopAsync(worker);
    }

    [Fact]
    public async Task A_task_out_of_time_is_ended()
    {
        var id = await SubmitAsync("--timeout", "500ms", "--max-retries", "0");
        await using var worker = StartWorker($"sh {Sleeper()}");
        var ids = await PidsAsync();
        await broker.UntilAsync(id, task => task.GetProperty("status").GetString() == "timeout", "the task has timed out");
        await Eventually.HoldsAsync(() => !ids.Any(LiveProcess.Exists), "the program and its child are gone");
        await StopAsync(worker);
    }

    [Fact]
    public async Task A_worker_that_is_told_to_stop_ends_its_program_and_hands_the_task_back_at_no_cost()
    {
        var id = await SubmitAsync();
        await using var worker = StartWorker($"sh {Sleeper()}");
        var ids = await PidsAsync();

        await StopAsync(worker);

        Assert.DoesNotContain(ids, LiveProcess.Exists);
        var task = await broker.JsonAsync("task", "show", id);
        Assert.Equal(("pending", 0), (task.GetProperty("status").GetString(), task.GetProperty("retry_count").GetInt32()));
        Assert.Equal("released", task.GetProperty("attempts")[0].GetProperty("outcome").GetString());
    }

    [Fact]
    public async Task A_worker_that_is_killed_leaves_no_program_behind_and_its_task_is_made_again()
    {
        var id = await SubmitAsync();
        await using var worker = StartWorker($"sh {Sleeper()}", "--grace", "500ms");
        await broker.UntilAsync(id, task => task.GetProperty("status").GetString() == "running", "the task runs");
        var ids = await PidsAsync();

        _ = Libc.kill(worker.Id, Libc.SigKill);

        await Eventually.HoldsAsync(() => !ids.Any(LiveProcess.Exists), "the program and its child are gone");
        var task = await broker.UntilAsync(id, now => now.GetProperty("status").GetString() == "pending" && now.GetProperty("retry_count").GetInt32() == 1, "the task is back");
        Assert.Equal("lost", task.GetProperty("attempts")[0].GetProperty("outcome").GetString());
    }

    [Fact]
    public async Task Exit_codes_are_known_also_when_whoever_started_the_worker_ignores_its_children()
    {
        var id = await SubmitAsync();
        await DispatchProcess.RunAsync(
            ["-c", $"trap '' CHLD; exec '{DispatchProcess.Executable}' worker --id w-{capability} --capability {capability} --exec \"sh -c 'echo why >&2; exit 9'\" --once --data-dir {broker.Data}"], program: "/bin/bash");
        var task = await broker.JsonAsync("task", "show", id);
        Assert.Equal("exit code 9: why", task.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_worker_is_ready_only_once_it_is_warm()
    {
        var script = directory.Write("warm.sh", $"echo warm >> '{directory.File("order")}'");
        var id = await SubmitAsync();
        await WorkAsync($"sh -c 'echo work >> \"$1\"' _ {directory.File("order")}", "--warm-up", $"sh {script}");
        Assert.Equal("warm\nwork\n", await File.ReadAllTextAsync(directory.File("order")));
        Assert.Equal("completed", (await broker.JsonAsync("task", "show", id)).GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_worker_that_can_not_warm_up_does_not_start()
    {
        var outcome = await DispatchProcess.RunAsync(["worker", "--id", "w", "--exec", "true", "--warm-up", "sh -c 'echo cold >&2; exit 4'", "--data-dir", broker.Data]);
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains("exit code 4: cold", outcome.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_sleeping_worker_is_woken_and_warms_up_again_before_it_works()
    {
        var order = directory.File("order");
        var warm = directory.Write("warm.sh", $"echo warm >> '{order}'");
        await using var worker = StartWorker($"sh -c 'echo work >> \"$1\"' _ {order}", "--sleep-after", "300ms", "--warm-up", $"sh {warm}");
        await UntilAgentAsync("sleeping");

        var id = await SubmitAsync();
        await broker.UntilAsync(id, task => task.GetProperty("status").GetString() == "completed", "the task is completed");

        Assert.Equal("warm\nwarm\nwork\n", await File.ReadAllTextAsync(order));
        await StopAsync(worker);
    }

    [Fact]
    public async Task As_many_programs_run_at_once_as_allowed()
    {
        var script = directory.Write("agent.sh", $"touch '{directory.Path}'/up-$$; n=0; while [ $n -lt 500 ] && [ \"$(ls '{directory.Path}' | grep -c up-)\" -lt 4 ]; do sleep 0.02; n=$((n+1)); done; ls '{directory.Path}' | grep -c up-");
        var ids = new List<string>();
        for (var i = 0; i < 4; i++)
            ids.Add(await SubmitAsync());
        await WorkAsync($"sh {script}", "--max", "4");
        foreach (var id in ids)
            Assert.Equal(4, (await broker.JsonAsync("task", "show", id)).GetProperty("result").GetProperty("output").GetInt32());
    }

    [Fact]
    public async Task Json_tells_what_happens_line_by_line()
    {
        await SubmitAsync();
        var outcome = await WorkAsync("true", "--json");
        var kinds = outcome.Output.TrimEnd().Split('\n').Select(line => JsonElement.Parse(line).GetProperty("kind").GetString()).ToList();
        Assert.Equal("stopped", kinds[^1]);
        Assert.Contains("registered", kinds);
        Assert.Contains("program_done", kinds);
        Assert.Contains("task_ended", kinds);
        Assert.Equal("", outcome.Errors);
    }

    [Fact]
    public async Task Waiting_tells_how_it_ended()
    {
        await using var worker = StartWorker("sh -c 'echo no >&2; exit \"$1\"' _ {context.code}");
        var good = await broker.RunAsync("submit", "x", "--require", capability, "--context", "{\"code\":0}", "--wait", "--json");
        Assert.Equal((0, "completed"), (good.ExitCode, JsonElement.Parse(good.Output).GetProperty("status").GetString()));
        var bad = await broker.RunAsync("submit", "x", "--require", capability, "--context", "{\"code\":1}", "--wait");
        Assert.Equal(1, bad.ExitCode);
        Assert.Contains("exit code 1: no", bad.Output, StringComparison.Ordinal);
        await StopAsync(worker);
    }

    [Fact]
    public async Task Watching_follows_a_task_to_its_end()
    {
        var id = await SubmitAsync();
        await using var watch = broker.Start("task", "watch", id, "--json");
        await WorkAsync("true");
        var outcome = await watch.EndAsync();
        Assert.Equal(0, outcome.ExitCode);
        var states = outcome.Output.TrimEnd().Split('\n').Select(line => JsonElement.Parse(line).GetProperty("status").GetString()).ToList();
        Assert.Equal("completed", states[^1]);
    }

    private async Task<string> SubmitAsync(params string[] more) =>
        (await broker.JsonAsync(["submit", "a title", "--require", capability, .. more])).GetProperty("id").GetString()!;

    /// <summary>A program with a child that both run until they are ended, and say so.</summary>
    private string Sleeper() => directory.Write("sleeper.sh", $"""
        sleep 300 &
        printf '%s\n%s\n' $$ $! > '{directory.File("pids")}.part'
        mv '{directory.File("pids")}.part' '{directory.File("pids")}'
        echo 'progress 40 asleep' >&2
        wait
        """);

    private async Task<List<int>> PidsAsync()
    {
        await Eventually.HoldsAsync(() => File.Exists(directory.File("pids")), "the program has started");
        var ids = File.ReadAllLines(directory.File("pids")).Select(int.Parse).ToList();
        Assert.All(ids, id => Assert.True(LiveProcess.Exists(id)));
        return ids;
    }

    private async Task UntilAgentAsync(string status)
    {
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (true)
        {
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(30), $"the worker is not {status}");
            var outcome = await broker.RunAsync("agent", "show", "w-" + capability, "--json");
            if (outcome.ExitCode == 0 && JsonElement.Parse(outcome.Output).GetProperty("status").GetString() == status)
                return;
        }
    }

    private DispatchProcess StartWorker(string exec, params string[] more) =>
        broker.Start(["worker", "--id", "w-" + capability, "--capability", capability, "--exec", exec, .. more]);

    private async Task<DispatchProcess.Outcome> WorkAsync(string exec, params string[] more)
    {
        await using var worker = StartWorker(exec, ["--once", .. more]);
        var outcome = await worker.EndAsync();
        Assert.True(outcome.ExitCode == 0, outcome.Errors);
        return outcome;
    }

    private static async Task StopAsync(DispatchProcess worker)
    {
        _ = Libc.kill(worker.Id, Libc.SigTerm);
        var outcome = await worker.EndAsync();
        Assert.True(outcome.ExitCode == 0, outcome.Errors);
    }
}
