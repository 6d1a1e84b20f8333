using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;
using Spectre.Console;

namespace Dispatch.Cli.Operations;

/// <summary><c>dispatch top</c>: queues and agents, live.</summary>
internal static class TopCommand
{
    private static readonly TimeSpan Refresh = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan KeyGlance = TimeSpan.FromMilliseconds(50);

    public static Command Create()
    {
        var once = new Option<bool>("--once") { Description = "Print one frame and end" };
        return new DispatchCommand("top", "Watch queues and agents live; q quits")
        {
            Options = { once },
            Examples = ["dispatch top", "dispatch top --once", "dispatch top --json      # a line every second"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var first = await TopFrame.ReadAsync(client, before: null, run.Stop);
            if (run.Screen.Json)
                return await StreamAsync(run, client, first, run.Get(once));

            if (run.Get(once) || !run.Screen.OutputIsTerminal || Console.IsInputRedirected)
            {
                run.Screen.Output.Write(first.Render(int.MaxValue));
                return ExitCode.Ok;
            }

            using var patient = run.Connect(patience: Tasks.TaskWatch.Patience);
            await ShowAsync(run, patient, first);
            return ExitCode.Ok;
        });
    }

    private static async Task<int> StreamAsync(Invocation run, DispatchClient client, TopFrame frame, bool once)
    {
        run.Screen.WriteJson(frame.ToJson());
        using var timer = new PeriodicTimer(Refresh, TimeProvider.System);
        while (!once && await timer.WaitForNextTickAsync(run.Stop))
        {
            frame = await TopFrame.ReadAsync(client, frame, run.Stop);
            run.Screen.WriteJson(frame.ToJson());
        }

        return ExitCode.Ok;
    }

    private static async Task ShowAsync(Invocation run, DispatchClient client, TopFrame first)
    {
        var console = run.Screen.Output;
        // The other screen of the terminal, so that what was there before is there again afterwards.
        console.Write(new ControlCode("\u001b[?1049h\u001b[H"));
        try
        {
            await console.Live(first.Render(console.Profile.Height)).StartAsync(async live =>
            {
                var frame = first;
                var shown = TimeProvider.System.GetTimestamp();
                using var timer = new PeriodicTimer(KeyGlance, TimeProvider.System);
                while (!Quits() && await timer.WaitForNextTickAsync(run.Stop))
                {
                    if (TimeProvider.System.GetElapsedTime(shown) < Refresh)
                        continue;
                    frame = await TopFrame.ReadAsync(client, frame, run.Stop);
                    shown = TimeProvider.System.GetTimestamp();
                    live.UpdateTarget(frame.Render(console.Profile.Height));
                }
            });
        }
        finally
        {
            console.Write(new ControlCode("\u001b[?1049l"));
        }
    }

    private static bool Quits()
    {
        while (Console.KeyAvailable)
        {
            if (Console.ReadKey(intercept: true).Key is ConsoleKey.Q or ConsoleKey.Escape)
                return true;
        }

        return false;
    }
}
