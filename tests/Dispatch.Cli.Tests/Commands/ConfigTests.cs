using System.Diagnostics;
using System.Text.Json;
using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.Commands;

public sealed class ConfigTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    public void Dispose() => directory.Dispose();

    [Fact]
    public async Task A_file_that_would_do_is_said_to()
    {
        var file = directory.Write("new.yaml", "limits: { burst: 5 }\n");

        var outcome = await DispatchProcess.RunAsync(["config", "check", file]);
        Assert.Equal((0, $"{file} is valid\n"), (outcome.ExitCode, outcome.Output));

        var json = JsonElement.Parse((await DispatchProcess.RunAsync(["config", "check", "--config", file, "--json"])).Output);
        Assert.True(json.GetProperty("valid").GetBoolean());
        Assert.Equal(file, json.GetProperty("file").GetString());
    }

    [Fact]
    public async Task All_that_is_wrong_with_a_file_is_told()
    {
        var file = directory.Write("new.yaml", "limits: { burst: many }\nserver: { prot: 1 }\n");

        var outcome = await DispatchProcess.RunAsync(["config", "check", file]);
        Assert.Equal((2, ""), (outcome.ExitCode, outcome.Output));
        foreach (var part in new[] { "limits.burst", "many", $"{file}:1", "from 1 to 10000000", "did you mean server.port?" })
            Assert.Contains(part, outcome.Errors, StringComparison.Ordinal);

        outcome = await DispatchProcess.RunAsync(["config", "check", file, "--json"]);
        Assert.Equal(2, outcome.ExitCode);
        Assert.Equal(2, JsonElement.Parse(outcome.Output).GetProperty("error").GetProperty("details").GetArrayLength());

        Assert.Equal(2, (await DispatchProcess.RunAsync(["config", "check", directory.File("none.yaml")])).ExitCode);
    }

    [Fact]
    public async Task A_broker_reads_its_file_again_when_it_is_hung_up_on_and_goes_on()
    {
        var file = directory.Write("dispatch.yaml", "limits: { burst: 500 }\n");
        await using var broker = DispatchProcess.Start(["serve", "--config", file, "--data-dir", directory.Path, "--port", "0", "--metrics-port", "0"]);
        await Eventually.HoldsAsync(() => File.Exists(directory.File("broker.json")), "the broker is ready");

        // Asked until it answers: the file of the address is written a little before the signal is listened to.
        await Eventually.HoldsAsync(
            () =>
            {
                Signal(broker.Id, "HUP");
                return broker.Output.Contains("no setting is new", StringComparison.Ordinal);
            },
            "the file is read again on request");

        directory.Write("dispatch.yaml", "limits: { burst: 501 }\n");
        Signal(broker.Id, "HUP");
        await Eventually.HoldsAsync(() => broker.Output.Contains("in force now: limits.burst", StringComparison.Ordinal), "the change is taken over");

        Assert.False(broker.HasExited);
        Signal(broker.Id, "TERM");
        Assert.Equal(0, (await broker.EndAsync()).ExitCode);
    }

    private static void Signal(int process, string name)
    {
        using var kill = Process.Start("kill", [$"-{name}", $"{process}"]);
        kill.WaitForExit();
    }
}
