using System.CommandLine;
using Dispatch.Cli.Brokers;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Programs;
using Dispatch.Client;

namespace Dispatch.Cli.Workers;

/// <summary><c>dispatch worker</c>: turns any program into an agent.</summary>
internal sealed class WorkerCommand
{
    /// <summary>With --once: so long without work counts as an empty queue.</summary>
    private static readonly TimeSpan OnceIdle = TimeSpan.FromSeconds(1);

    private readonly Option<string?> id = new("--id") { Description = "The agent's id [--agent, DISPATCH_AGENT_ID]", HelpName = "ID" };
    private readonly Option<string[]> capabilities = new("--capability") { Description = "What it can do; may repeat", HelpName = "NAME" };
    private readonly Option<string> exec = new("--exec") { Description = "The program run for each task, and its arguments", HelpName = "COMMAND", Required = true };
    private readonly Option<int> max = Numbers.Option("--max", "Tasks at once", 1, 1000, standard: 3);
    private readonly Option<string?> owner = new("--owner") { Description = "Whose agent it is", HelpName = "NAME" };
    private readonly Option<string[]> labels = Labels.Option("A label; may repeat");
    private readonly Option<TimeSpan?> grace = Durations.Option("--grace", "Time between asking a program to end and killing it [5s]");
    private readonly Option<TimeSpan?> sleepAfter = Durations.Option("--sleep-after", "Say that it sleeps after this long without work");
    private readonly Option<string?> warmUp = new("--warm-up") { Description = "Run this before the first work and after each wake; ready only once it exits 0", HelpName = "COMMAND" };
    private readonly Option<bool> once = new("--once") { Description = "Stop when there is no more work" };
    private readonly Option<TimeSpan?> exitWhenIdle = Durations.Option("--exit-when-idle", "Stop after this long without work");

    private WorkerCommand()
    {
    }

    public static Command Create() => new WorkerCommand().Build();

    private DispatchCommand Build()
    {
        var command = new DispatchCommand("worker", "Turn a program into an agent: it is run once for each task")
        {
            Options = { id, capabilities, exec, max, owner, labels, grace, sleepAfter, warmUp, once, exitWhenIdle },
            Examples =
            [
                "dispatch worker --id counter-1 --capability lines --exec 'wc -l {context.path}'",
                "dispatch worker --id img-1 --capability images --max 4 --exec 'convert -- {context.from} -resize 50% {context.to}'",
                "dispatch worker --id coder-1 --capability code --exec './agent.py' --sleep-after 10m --warm-up './load-model.sh'",
                "dispatch worker --id batch --capability lines --exec 'wc -l {context.path}' --once",
            ],
            Remarks = """
                The program gets the task as JSON on standard input, and DISPATCH_TASK_ID, DISPATCH_ATTEMPT and
                DISPATCH_TASK_TITLE in its environment. {id}, {title}, {attempt} and {context.NAME} in the arguments are
                replaced; each stays a single argument and no shell is involved, so no value can run anything. Put -- before
                a value that must not be taken for an option. Standard output is the result: JSON if it is some, else text.
                Lines "progress 40 message" on standard error are progress.

                Exit 0 completes the task, 75 fails it and it may be tried again, anything else fails it for good with the
                last lines of standard error. When a task is cancelled, times out or is lost, and when the worker stops, the
                program and all it started are asked to end, and killed after --grace. Work cut short by a stop goes back to
                the queue and costs no attempt.
                """,
        };
        return command.Does(RunAsync);
    }

    private async Task<int> RunAsync(Invocation run)
    {
        var template = Read(run.Get(exec)!, "--exec");
        var warmUpTemplate = run.Get(warmUp) is { } line ? Read(line, "--warm-up") : null;
        var patience = run.Get(grace) ?? TimeSpan.FromSeconds(5);
        var address = BrokerAddress.Find(run, Access.Agent);
        var name = run.Get(id) ?? (run.Get(GlobalOptions.Agent) ?? Environment.GetEnvironmentVariable("DISPATCH_AGENT_ID"))
            ?? throw CommandException.Usage("The agent needs an id", "Give one with --id, for example --id counter-1");

        var log = new WorkerLog(run.Screen);
        var idle = new IdleWatch(TimeProvider.System);
        await using var launcher = ProgramLauncher.Create(patience, warning => log.Tell("warning", warning));
        var runs = new ProgramRun(launcher, patience, TimeProvider.System);
        var agent = new ProgramAgent(template, runs, new Dictionary<string, string>
        {
            ["DISPATCH_AGENT_ID"] = name,
            ["DISPATCH_URL"] = address.Server.AbsoluteUri,
        });

        if (warmUpTemplate is not null)
            await WarmUpAsync(runs, warmUpTemplate, log, run.Stop);

        using var client = Connect(address with { AgentId = name });
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(run.Stop);
        var worker = new DispatchWorker(client, Options(run, patience, log, idle, runs, warmUpTemplate), (item, cancel) => WorkAsync(agent, log, idle, item, cancel));
        var working = worker.RunAsync(stop.Token);
        if (IdleLimit(run) is { } limit)
        {
            await Task.WhenAny(working, idle.WaitAsync(limit, cancel => HoldsNothingAsync(client, name, cancel), stop.Token));
            await stop.CancelAsync();
        }

        await working;
        var done = worker.Statistics;
        log.Tell("stopped", $"{done.Completed} completed, {done.Failed} failed, {done.Released} handed back, {done.Cancelled} cancelled, {done.Lost} lost");
        return ExitCode.Ok;
    }

    private DispatchWorkerOptions Options(Invocation run, TimeSpan patience, WorkerLog log, IdleWatch idle, ProgramRun runs, CommandTemplate? warmUpTemplate) => new()
    {
        Capabilities = run.Get(capabilities) ?? [],
        Owner = run.Get(owner),
        Labels = Labels.Read(run.Get(labels)) is { Count: > 0 } given ? given : null,
        MaxConcurrent = run.Get(max),
        SleepAfter = run.Get(sleepAfter),
        WarmUp = warmUpTemplate is null ? null : async cancel =>
        {
            idle.Begin();
            try
            {
                await WarmUpAsync(runs, warmUpTemplate, log, cancel);
            }
            finally
            {
                idle.End();
            }
        },
        // A stop ends the programs at once, politely; the client must wait as long as that can take.
        ShutdownGrace = TimeSpan.Zero,
        UnwindGrace = patience + TimeSpan.FromSeconds(5),
        Notice = notice =>
        {
            if (notice.Kind is WorkerNoticeKind.Registered or WorkerNoticeKind.BrokerBack or WorkerNoticeKind.BrokerAway)
                idle.Connected(notice.Kind != WorkerNoticeKind.BrokerAway);
            log.Tell(notice);
        },
    };

    private static async Task<WorkResult> WorkAsync(ProgramAgent agent, WorkerLog log, IdleWatch idle, WorkItem item, CancellationToken cancel)
    {
        idle.Begin();
        var began = TimeProvider.System.GetTimestamp();
        try
        {
            var result = await agent.WorkAsync(item, cancel);
            log.Tell(
                result is WorkResult.Completed ? "program_done" : "program_failed",
                $"after {Durations.Show(TimeProvider.System.GetElapsedTime(began))}{(result is WorkResult.Failed failed ? ": " + failed.Error : "")}",
                item.Task.Id,
                item.Attempt);
            return result;
        }
        finally
        {
            idle.End();
        }
    }

    private static async Task WarmUpAsync(ProgramRun runs, CommandTemplate template, WorkerLog log, CancellationToken stop)
    {
        var began = TimeProvider.System.GetTimestamp();
        var words = template.Fill(default) is CommandTemplate.Filling.Done filled ? filled.Arguments : [];
        var verdict = await runs.RunAsync([template.Program, .. words], new Dictionary<string, string>(), ReadOnlyMemory<byte>.Empty, (_, _) => { }, stop);
        if (verdict is ProgramVerdict.Failed failed)
            throw new CommandException(new CommandFault(ExitCode.Failed, "warm_up", $"The warm-up failed: {failed.Error}", "The worker says that it is ready only once --warm-up exits 0."));
        log.Tell("warm", $"after {Durations.Show(TimeProvider.System.GetElapsedTime(began))}");
    }

    /// <summary>Whether the broker has given this agent nothing. The broker matches waiting tasks as soon as an agent registers.</summary>
    private static async Task<bool> HoldsNothingAsync(DispatchClient client, string name, CancellationToken stop)
    {
        try
        {
            return (await client.GetHeldTasksAsync(name, stop)).Count == 0;
        }
        catch (Exception e) when (e is DispatchException or DispatchUnreachableException)
        {
            // Then nobody knows; the worker's own loop tells what is wrong with the broker.
            return false;
        }
    }

    private static CommandTemplate Read(string line, string option)
    {
        CommandTemplate template;
        try
        {
            template = CommandTemplate.Parse(line);
        }
        catch (FormatException e)
        {
            throw CommandException.Usage($"{option}: {e.Message}", $"Write it like {option} 'wc -l {{context.path}}'");
        }

        if (!ProgramPath.Exists(template.Program))
            throw CommandException.Usage($"{option}: there is no program {template.Program}", "Give its path, or a name that is in PATH. Shell words such as | or && need: sh -c '...'");
        if (option == "--warm-up" && template.HasPlaceholders)
            throw CommandException.Usage($"{option}: there is no task yet whose values could be filled in");
        return template;
    }

    private static DispatchClient Connect(DispatchClientOptions options)
    {
        try
        {
            return new DispatchClient(options);
        }
        catch (ArgumentException e)
        {
            throw CommandException.Usage(e.Message);
        }
    }

    private TimeSpan? IdleLimit(Invocation run) => run.Get(exitWhenIdle) ?? (run.Get(once) ? OnceIdle : null);
}
