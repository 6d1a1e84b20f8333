using System.CommandLine;
using System.Globalization;
using Dispatch.Cli.Brokers;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Cli.Webhooks;
using Dispatch.Client;

namespace Dispatch.Cli.Quota;

/// <summary><c>dispatch quota ...</c>: what agents may spend, and what they have spent.</summary>
internal static class QuotaCommand
{
    private const int MostTargets = 50;

    public static Command Create() => new DispatchCommand("quota", "Limit what agents spend, and see what they have spent")
    {
        Examples =
        [
            "dispatch quota set swarm-day --swarm --unit money --amount 50 --window day",
            "dispatch quota list",
            "dispatch quota explain coder-1",
        ],
        Subcommands = { List(), Set(), Show(), Delete(), Explain(), Check(), Top(), History(), Ledger(), Report() },
    };

    private static DispatchCommand List()
    {
        var level = new Option<string?>("--level") { Description = "Only limits for agents, owners, teams or the swarm", HelpName = "LEVEL" };
        level.AcceptOnlyFromAmong(LimitOptions.Levels);
        var target = new Option<string?>("--target") { Description = "Only those of this agent, owner or team; * for those for each", HelpName = "NAME" };
        var unit = Unit("Only those that count this");
        var limit = Numbers.Option("--limit", "At most this many", 1, 1_000, 100);
        return new DispatchCommand("list", "List limits by id, and how they stand")
        {
            Options = { level, target, unit, limit },
            Examples = ["dispatch quota list", "dispatch quota list --level agent --unit tokens --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var filter = new LimitFilter { Level = run.Get(level), Target = run.Get(target), Unit = run.Get(unit), Limit = run.Get(limit) };
            var (limits, next) = await client.ListLimitsAsync(filter, cancel: run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(limits));
                return ExitCode.Ok;
            }

            if (limits.Count == 0)
            {
                run.Screen.Note("No limits: agents may spend what they like. Set one with: dispatch quota set ID --swarm --unit money --amount 50 --window day");
                return ExitCode.Ok;
            }

            var rows = new List<(string, string, Limit, LimitStanding?)>();
            foreach (var listed in limits)
            {
                if (await FindAsync(client, listed.Id, run.Stop) is not { } known)
                    continue;
                var most = known.Standings.FirstOrDefault();
                rows.Add((known.Id, LimitWords.Whose(known) + (known.Target == LimitWords.Each && most is not null ? $", most {most.Target}" : ""), known, most));
            }

            if (rows.Count > 0)
                StandingView.WriteList(run.Screen, rows);
            if (next is not null)
                run.Screen.Note($"There are more; show them with --limit {Math.Min(1_000, run.Get(limit) * 2)}");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Set()
    {
        var id = Id("The limit's id: up to 128 letters, digits, points, dashes and underscores of your choice");
        var options = new LimitOptions();
        var command = new DispatchCommand("set", "Set a limit, or change the one of this id; effective at once")
        {
            Arguments = { id },
            Examples =
            [
                "dispatch quota set swarm-day --swarm --unit money --amount 50 --window day --time-zone Europe/Berlin --reset-hour 6",
                "dispatch quota set agent-hour --each agent --unit tokens --amount 200000 --rolling 1h",
                "dispatch quota set coder-1-jobs --agent coder-1 --unit concurrent_jobs --amount 2",
                "dispatch quota set core-month --team core --unit money --amount 1200.50 --window month --reset-day 15 --soft 90 --on-exceed pause",
                "dispatch quota set cheap-only --owner interns --unit models --allow 'small-*' --deny small-beta",
                "dispatch quota set web-prs --swarm --unit pull_requests --amount 20 --window day --repo web --if-version 3",
            ],
            Remarks = "Here --agent says whose limit it is. Money is in the currency of the broker's price list; what has been used stays used when a limit is changed.",
        };
        options.AddTo(command);
        return command.Does(async run =>
        {
            var wanted = options.Read(run);
            using var client = run.Connect();
            var limit = await client.SetLimitAsync(run.Get(id), wanted, run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(limit));
            run.Screen.Line($"{limit.Id}  {LimitWords.Whose(limit)}: {LimitWords.Rule(limit)}, version {Text(limit.Version)}");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Show()
    {
        var id = Id();
        return new DispatchCommand("show", "Show a limit and how it stands for everyone it counts for")
        {
            Arguments = { id },
            Examples = ["dispatch quota show swarm-day", "dispatch quota show agent-hour --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var limit = await client.GetLimitAsync(run.Get(id), run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(limit));
                return ExitCode.Ok;
            }

            Tell(run, limit);
            if (limit.Standings.Count > 0)
            {
                run.Screen.Line();
                StandingView.WriteInFull(run.Screen, limit.Standings);
            }
            else
            {
                run.Screen.Note("Nothing was used or reserved yet.");
            }

            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Delete()
    {
        var id = Id();
        return new DispatchCommand("delete", "Delete a limit; what waited for it is looked at again at once")
        {
            Arguments = { id },
            Examples = ["dispatch quota delete swarm-day"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            await client.DeleteLimitAsync(run.Get(id), run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(CliJson.Write(new DeletedBody(run.Get(id), Deleted: true)));
            run.Screen.Line($"{run.Get(id)} deleted");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Explain()
    {
        var agent = AgentId();
        var use = new ExpectedUse();
        var command = new DispatchCommand("explain", "Show every limit that counts for an agent, which one binds, and when it frees")
        {
            Arguments = { agent },
            Examples = ["dispatch quota explain coder-1", "dispatch quota explain coder-1 --model large-1 --tokens-in 40000 --tokens-out 8000"],
            Remarks = "With --json: what an agent may spend, as in GET /api/v1/agents/ID/allowance; for the answer about a task see dispatch quota check.",
        };
        use.AddTo(command);
        return command.Does(async run =>
        {
            var wanted = use.Read(run);
            using var client = run.Connect();
            var allowance = await client.GetAllowanceAsync(run.Get(agent), run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(allowance));
                return ExitCode.Ok;
            }

            var answer = await client.CheckAllowanceAsync(run.Get(agent), wanted, run.Stop);
            var owner = allowance.Owner is { } name ? $", owner {name}" : "";
            run.Screen.Line($"{allowance.Agent}{owner}{(allowance.Team is { } team ? $", team {team}" : "")}{(allowance.Registered ? "" : ", not registered now")}");
            Tell(run, answer);
            if (allowance.Limits.Count == 0)
            {
                run.Screen.Line("No limit counts for it.");
                return ExitCode.Ok;
            }

            run.Screen.Line();
            StandingView.WriteInFull(run.Screen, allowance.Limits, answer.Refusal?.Key);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Check()
    {
        var agent = AgentId();
        var use = new ExpectedUse();
        var command = new DispatchCommand("check", "Ask whether an agent could be given such a task now; exit 1 when not. Reserves nothing")
        {
            Arguments = { agent },
            Examples = ["dispatch quota check coder-1 --tokens-in 40000 --tokens-out 8000 --model large-1", "dispatch quota check coder-1 --repo web --pull-requests 1 --json"],
        };
        use.AddTo(command);
        return command.Does(async run =>
        {
            var wanted = use.Read(run);
            using var client = run.Connect();
            var answer = await client.CheckAllowanceAsync(run.Get(agent), wanted, run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(answer));
            Tell(run, answer);
            return answer.Allowed ? ExitCode.Ok : ExitCode.Failed;
        });
    }

    private static DispatchCommand Top()
    {
        var unit = Unit("Only limits that count this");
        var limit = Numbers.Option("--limit", "At most this many", 1, 1_000, 20);
        return new DispatchCommand("top", "Show who is nearest to a limit, the largest share used first")
        {
            Options = { unit, limit },
            Examples = ["dispatch quota top", "dispatch quota top --unit money --limit 5"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var standings = await client.ListSpendingAsync(run.Get(unit), run.Get(limit), run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(standings));
                return ExitCode.Ok;
            }

            if (standings.Count == 0)
                run.Screen.Note("Nothing that is limited was used yet.");
            else
                StandingView.WriteList(run.Screen, [.. standings.Select(standing => (standing.Key, LimitWords.Whose(standing), standing.Limit, (LimitStanding?)standing))]);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand History()
    {
        var id = Id();
        var target = new Option<string?>("--target") { Description = "Of a limit for each: only this one's windows and warnings", HelpName = "NAME" };
        var limit = Numbers.Option("--limit", "At most this many, the newest", 1, 100_000, 100);
        return new DispatchCommand("history", "Show who set a limit when, what each window used, warnings, and when it bound; oldest first")
        {
            Arguments = { id },
            Options = { target, limit },
            Examples = ["dispatch quota history swarm-day", "dispatch quota history agent-hour --target coder-1 --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var known = await FindAsync(client, run.Get(id), run.Stop);
            var keys = run.Get(target) is { } one
                ? [$"{run.Get(id)}/{one}"]
                : known is { Target: LimitWords.Each, Standings: { } standings } ? standings.Select(standing => standing.Key).Take(MostTargets) : [];
            var events = await LimitHistory.ReadAsync(client, [run.Get(id), .. keys], run.Get(limit), run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(events));
                return ExitCode.Ok;
            }

            if (events.Count == 0 && known is null)
                throw new CommandException(new CommandFault(ExitCode.NotFound, "limit_not_found", $"There is no limit '{run.Get(id)}', and the log tells nothing of it.", "See which limits there are with: dispatch quota list"));
            if (events.Count == 0)
                run.Screen.Note("Nothing of its history is kept any more.");
            else
                LimitHistory.Write(run.Screen, events, known);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Ledger()
    {
        var id = Id();
        var target = new Option<string?>("--target") { Description = "Of a limit for each: only this one's", HelpName = "NAME" };
        var limit = Numbers.Option("--limit", "At most this many", 1, 1_000, 100);
        return new DispatchCommand("ledger", "List what each attempt reserved and spent on a limit, newest first")
        {
            Arguments = { id },
            Options = { target, limit },
            Examples = ["dispatch quota ledger swarm-day", "dispatch quota ledger agent-hour --target coder-1 --limit 1000 --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var (entries, next) = await client.ListLedgerAsync(run.Get(id), run.Get(target), run.Get(limit), cancel: run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(entries));
                return ExitCode.Ok;
            }

            if (entries.Count == 0)
            {
                run.Screen.Note("Nothing was reserved or spent on it.");
                return ExitCode.Ok;
            }

            var unit = (await FindAsync(client, run.Get(id), run.Stop))?.Unit ?? LimitUnit.Tokens;
            var listing = new Listing("AT", "AGENT", "TASK", ">ATTEMPT", "OUTCOME", ">RESERVED", ">SPENT");
            foreach (var entry in entries)
            {
                listing.Add(
                    TaskView.Time(entry.At), entry.Agent, entry.TaskId ?? "-", entry.Attempt is { } attempt ? Text(attempt) : "-", entry.Outcome ?? "in hand",
                    QuotaAmount.Number(entry.Reserved, unit), QuotaAmount.Number(entry.Spent, unit));
            }

            listing.Write(run.Screen);
            if (next is not null)
                run.Screen.Note($"There are more; show them with --limit {Math.Min(1_000, run.Get(limit) * 2)}");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Report()
    {
        var id = new Argument<string>("ID") { Description = "Your own id for the report: the same again changes nothing" };
        var usage = new Option<string[]>("--usage") { Description = "What was used, as in tokens_in=1200 or money=0.05; may repeat", HelpName = "NAME=N", Required = true };
        var task = new Option<string?>("--task") { Description = "The task it was for", HelpName = "ID" };
        var attempt = Numbers.Option("--attempt", "The task's attempt; the current or last one when left out", 1, int.MaxValue);
        var model = new Option<string?>("--model") { Description = "The model that was used", HelpName = "NAME" };
        var repo = new Option<string?>("--repo") { Description = "The repository it was for, when no task says it", HelpName = "NAME" };
        return new DispatchCommand("report", "Report spending apart from the end of a task; --agent says whose")
        {
            Arguments = { id },
            Options = { usage, task, attempt, model, repo },
            Examples =
            [
                "dispatch quota report call-4711 --agent coder-1 --usage tokens_in=1200 --usage tokens_out=300 --model large-1",
                "dispatch quota report invoice-7 --agent coder-1 --usage money=0.05 --json",
            ],
        }.Does(async run =>
        {
            var report = new UsageReport
            {
                Id = run.Get(id),
                Agent = BrokerAddress.Find(run, Access.Operator).AgentId,
                TaskId = run.Get(task),
                Attempt = run.Get(attempt),
                Model = run.Get(model),
                Repo = run.Get(repo),
                Usage = QuotaAmount.ReadPairs(run.Get(usage), "--usage"),
            };
            using var client = run.Connect();
            var receipt = await client.ReportUsageAsync(report, run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(receipt));
            run.Screen.Line(receipt.Spent switch
            {
                null => $"{receipt.Id}  was taken before",
                { Count: 0 } => $"{receipt.Id}  taken; no limit counts it",
                { } spent => $"{receipt.Id}  booked on {string.Join(", ", spent.Keys)}",
            });
            return ExitCode.Ok;
        });
    }

    private static Argument<string> Id(string description = "The limit's id, from the list") => new("ID") { Description = description };

    private static Argument<string> AgentId() => new("AGENT") { Description = "The agent id; it need not be registered" };

    private static Option<string?> Unit(string description)
    {
        var unit = new Option<string?>("--unit") { Description = description, HelpName = "UNIT" };
        unit.AcceptOnlyFromAmong(LimitOptions.Units);
        return unit;
    }

    /// <summary>The limit, or null when it was deleted.</summary>
    private static async Task<Limit?> FindAsync(DispatchClient client, string id, CancellationToken stop)
    {
        try
        {
            return await client.GetLimitAsync(id, stop);
        }
        catch (DispatchException gone) when (gone.Code == "limit_not_found")
        {
            return null;
        }
    }

    private static void Tell(Invocation run, AllowanceAnswer answer)
    {
        if (answer.Refusal is not { } refusal)
        {
            run.Screen.Line("It could be given such a task now.");
            return;
        }

        run.Screen.Line($"It could not be given such a task now. {refusal.Message ?? $"Limit '{refusal.Limit}' has no room."}");
        if (refusal.FreesAt is { } frees)
            run.Screen.Line($"It frees in {Durations.Show(frees > TimeProvider.System.GetUtcNow() ? frees - TimeProvider.System.GetUtcNow() : TimeSpan.Zero)}, at {TaskView.Time(frees)}.");
    }

    private static void Tell(Invocation run, Limit limit)
    {
        Line("id", limit.Id);
        Line("for", LimitWords.Whose(limit));
        Line("amount", LimitWords.Rule(limit));
        Line("window", limit.Window is { } window ? LimitWords.WindowInFull(window) : null);
        Line("model", limit.Model);
        Line("repo", limit.Repo);
        Line("warning at", limit.Window is not null ? $"{Text(limit.SoftPercent)} %" : null);
        Line("when used up", limit.Window is null ? null : limit.OnExceed == "pause" ? "work is taken back and waits" : "work in hand finishes, new work waits");
        Line("version", Text(limit.Version));
        Line("created", TaskView.Time(limit.CreatedAt));
        Line("changed", TaskView.Time(limit.UpdatedAt));

        void Line(string name, string? value)
        {
            if (value is not null)
                run.Screen.Line($"{name,-13} {value}");
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
