using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Quota;

/// <summary>Options that say what a limit is to be.</summary>
internal sealed class LimitOptions
{
    /// <summary>All that a limit can count, in the words of the API.</summary>
    public static readonly string[] Units =
    [
        LimitUnit.Tokens, LimitUnit.TokensIn, LimitUnit.TokensOut, LimitUnit.Money, LimitUnit.Jobs, LimitUnit.ConcurrentJobs, LimitUnit.JobMs, LimitUnit.Requests,
        LimitUnit.PullRequests, LimitUnit.Issues, LimitUnit.CooldownMs, LimitUnit.Models,
    ];

    public static readonly string[] Levels = [LimitLevel.Agent, LimitLevel.Owner, LimitLevel.Team, LimitLevel.Swarm];

    private readonly Option<string?> agent = new("--agent") { Description = "For this agent", HelpName = "ID" };
    private readonly Option<string?> owner = new("--owner") { Description = "For this owner's agents together", HelpName = "NAME" };
    private readonly Option<string?> team = new("--team") { Description = "For the owners of this team together", HelpName = "NAME" };
    private readonly Option<bool> swarm = new("--swarm") { Description = "For all agents together" };
    private readonly Option<string?> each = new("--each") { Description = "For each agent, owner or team that has no such limit of its own", HelpName = "LEVEL" };
    private readonly Option<string> unit = new("--unit") { Description = "What it counts", HelpName = "UNIT", Required = true };
    private readonly Option<string?> amount = new("--amount") { Description = "How much there is: a whole number, 12.50 for money, 30m for times", HelpName = "N" };
    private readonly Option<string?> window = new("--window") { Description = "When it begins anew; lifetime when left out", HelpName = "WINDOW" };
    private readonly Option<string?> timeZone = new("--time-zone") { Description = "Where the window's days begin, as in Europe/Berlin; UTC when left out", HelpName = "ZONE" };
    private readonly Option<int?> resetHour = Numbers.Option("--reset-hour", "Hour at which a day, week or month begins", 0, 23);
    private readonly Option<int?> resetDay = Numbers.Option("--reset-day", "Day on which it begins: of a week 1 (Monday) to 7, of a month 1 to 31", 1, 31);
    private readonly Option<TimeSpan?> rolling = Durations.Option("--rolling", "Count what was used in the last so long, and no calendar");
    private readonly Option<string?> model = new("--model") { Description = "Only work with this model", HelpName = "NAME" };
    private readonly Option<string?> repo = new("--repo") { Description = "Only work whose label repo is this", HelpName = "NAME" };
    private readonly Option<int?> soft = Numbers.Option("--soft", "Percent at which a warning is raised; 80 when left out", 1, 100);
    private readonly Option<string?> onExceed = new("--on-exceed") { Description = "What happens to running work when it is used up: finish (its end is booked, new work waits) or pause (it is taken back)", HelpName = "finish|pause" };
    private readonly Option<string[]> allow = new("--allow") { Description = "With --unit models: only these, with * at the end all that begin so; by commas, may repeat", HelpName = "MODELS" };
    private readonly Option<string[]> deny = new("--deny") { Description = "With --unit models: not these; by commas, may repeat", HelpName = "MODELS" };
    private readonly Option<int?> ifVersion = Numbers.Option("--if-version", "Only when it has this version; 0: only when there is none", 0, int.MaxValue);

    public void AddTo(Command command)
    {
        each.AcceptOnlyFromAmong(LimitLevel.Agent, LimitLevel.Owner, LimitLevel.Team);
        unit.AcceptOnlyFromAmong(Units);
        window.AcceptOnlyFromAmong("lifetime", "hour", "day", "week", "month");
        onExceed.AcceptOnlyFromAmong("finish", "pause");
        Option[] whose = [agent, owner, team, swarm, each];
        foreach (var option in (Option[])[.. whose, unit, amount, window, timeZone, resetHour, resetDay, rolling, model, repo, soft, onExceed, allow, deny, ifVersion])
            command.Options.Add(option);

        command.Validators.Add(result =>
        {
            if (whose.Count(option => result.GetResult(option) is { Implicit: false }) != 1)
                result.AddError("Say once whose limit it is: --agent ID, --owner NAME, --team NAME, --swarm, or --each agent|owner|team");
            if (result.GetResult(window) is not null && result.GetResult(rolling) is not null)
                result.AddError("--window and --rolling say the same thing; give one");
            if (result.GetResult(unit) is not { Errors: var faults } || faults.Any() || result.GetValue(unit) is not { } counted)
                return;
            if (result.GetValue(amount) is { } text)
            {
                if (!QuotaAmount.TryParse(text, counted, out _, out var fault))
                    result.AddError($"--amount: {fault}");
            }
            else if (counted != LimitUnit.Models)
            {
                result.AddError("Say how much there is: --amount N");
            }
        });
    }

    public LimitRequest Read(Invocation run)
    {
        var (level, target) = (run.Get(agent), run.Get(owner), run.Get(team), run.Get(each)) switch
        {
            ({ } id, _, _, _) => (LimitLevel.Agent, id),
            (_, { } name, _, _) => (LimitLevel.Owner, name),
            (_, _, { } name, _) => (LimitLevel.Team, name),
            (_, _, _, { } all) => (all, LimitWords.Each),
            _ => (LimitLevel.Swarm, null),
        };
        var counted = run.Get(unit)!;
        return new LimitRequest
        {
            Level = level,
            Target = target,
            Unit = counted,
            Amount = run.Get(amount) is { } text && QuotaAmount.TryParse(text, counted, out var number, out _) ? number : null,
            Window = Window(run),
            Model = run.Get(model),
            Repo = run.Get(repo),
            SoftPercent = run.Get(soft),
            OnExceed = run.Get(onExceed),
            Allow = Models(run.Get(allow)),
            Deny = Models(run.Get(deny)),
            IfVersion = run.Get(ifVersion),
        };
    }

    // Left to the broker to judge, which names all that is wrong at once.
    private LimitWindow? Window(Invocation run)
    {
        var kind = run.Get(rolling) is not null ? "rolling" : run.Get(window);
        if (kind is null && run.Get(timeZone) is null && run.Get(resetHour) is null && run.Get(resetDay) is null)
            return null;
        return new LimitWindow
        {
            Kind = kind ?? throw CommandException.Usage("--time-zone, --reset-hour and --reset-day are about a window", "Say which: --window day, week or month"),
            TimeZone = run.Get(timeZone),
            ResetHour = run.Get(resetHour),
            ResetDay = run.Get(resetDay),
            Rolling = run.Get(rolling),
        };
    }

    private static string[]? Models(string[]? given) =>
        given is { Length: > 0 } ? [.. given.SelectMany(names => names.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))] : null;
}
