using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary><c>dispatch dead-letter ...</c>: tasks that failed or timed out for good.</summary>
internal static class DeadLetterCommand
{
    public static Command Create() => new DispatchCommand("dead-letter", "Tasks that failed or timed out for good")
    {
        Examples = ["dispatch dead-letter list", "dispatch dead-letter redrive --scope images"],
        Subcommands = { List(), Redrive() },
    };

    private static Option<string?> Status()
    {
        var status = new Option<string?>("--status") { Description = "Only failed, or only timeout", HelpName = "STATE" };
        status.AcceptOnlyFromAmong("failed", "timeout");
        return status;
    }

    private static Option<string?> Scope() => new("--scope") { Description = "Only this scope", HelpName = "NAME" };

    private static Option<string?> Requester() => new("--requester") { Description = "Only what this agent submitted", HelpName = "ID" };

    private static DispatchCommand List()
    {
        var (status, scope, requester, limit) = (Status(), Scope(), Requester(), Limits.Option(50));
        var all = new Option<bool>("--all") { Description = "Every match, not just the newest" };
        return new DispatchCommand("list", "List dead letters, newest first")
        {
            Options = { status, scope, requester, limit, all },
            Examples = ["dispatch dead-letter list", "dispatch dead-letter list --status timeout --all --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var most = run.Get(limit);
            var filter = new DeadLetterFilter
            {
                Status = run.Get(status),
                Scope = run.Get(scope),
                Requester = run.Get(requester),
                Limit = Limits.Page(run.Get(all) ? null : most),
            };
            var tasks = client.ListAllDeadLettersAsync(filter, run.Stop);
            await TaskView.WriteListAsync(run.Screen, run.Get(all) ? tasks : tasks.Take(most), "No dead letters.", run.Stop, errors: true);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Redrive()
    {
        var ids = new Argument<string[]>("ID") { Description = "Ids of dead letters; none: those that the options name", Arity = ArgumentArity.ZeroOrMore };
        var (status, scope, requester, limit) = (Status(), Scope(), Requester(), Limits.Option(100));
        var all = new Option<bool>("--all") { Description = "Every match, however many" };
        var command = new DispatchCommand("redrive", "Put dead letters back into the queue with fresh attempts")
        {
            Arguments = { ids },
            Options = { status, scope, requester, limit, all },
            Examples =
            [
                "dispatch dead-letter redrive 0198c0de-7f00-7000-8000-000000000001",
                "dispatch dead-letter redrive --scope images --limit 10",
                "dispatch dead-letter redrive --all",
            ],
        };
        command.Validators.Add(result =>
        {
            Option[] filters = [status, scope, requester, limit, all];
            var filtered = filters.Any(option => result.GetResult(option) is { Implicit: false });
            var named = result.GetValue(ids) is { Length: > 0 };
            if (named && filtered)
                result.AddError("Name the tasks or describe them, not both");
            if (!named && !filtered)
                result.AddError("Say which: ids, a filter such as --scope, or --all");
        });
        return command.Does(async run =>
        {
            using var client = run.Connect();
            var request = run.Get(ids) is { Length: > 0 } named
                ? new RedriveRequest { Ids = named }
                : new RedriveRequest
                {
                    Status = run.Get(status),
                    Scope = run.Get(scope),
                    Requester = run.Get(requester),
                    Limit = run.Get(all) ? 1000 : Limits.Page(run.Get(limit)),
                };

            var redriven = 0;
            RedriveAnswer answer;
            do
            {
                answer = await client.RedriveAsync(request, run.Stop);
                redriven += answer.Redriven;
            }
            // Without the second condition, letters that can not be put back would be tried for ever.
            while (run.Get(all) && answer is { More: true, Redriven: > 0 });

            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(answer with { Redriven = redriven }));
            run.Screen.Line($"{redriven} put back into the queue");
            foreach (var skipped in answer.Skipped)
                run.Screen.Note($"  {skipped.Id} left alone: {skipped.Reason}");
            if (answer.More)
                run.Screen.Note("More match. Repeat the command, or use --all.");
            return answer.Skipped.Count > 0 && redriven == 0 ? ExitCode.Failed : ExitCode.Ok;
        });
    }
}
