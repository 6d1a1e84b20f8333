using System.Globalization;
using Dispatch.Allowances;
using Dispatch.Events;

namespace Dispatch.Simulation.Actors;

/// <summary>Sets, changes and deletes limits of every level and unit, looks how they stand, and tells spending in the agents' names.</summary>
internal sealed class Treasurer(Universe universe, Random random)
{
    /// <summary>The only team there is.</summary>
    public const string Team = "crew";

    public static readonly string[] Repos = ["site", "tools"];

    // Few ids, so that one comes back as another limit while work still holds something of the one before.
    private const int Ids = 6;

    private static readonly string[] Models = ["small", "large", "unpriced"];

    private static readonly LimitUnit[] Units = Enum.GetValues<LimitUnit>();

    private int told;

    public async Task RunAsync()
    {
        while (universe.TakeOperation())
        {
            await universe.DelayAsync(random.NextDouble() * random.Pick([50, 1_500]));
            switch (random.Weighted([6, 3, 2, 2]))
            {
                case 0:
                    await SetAsync(DrawId());
                    break;
                case 1:
                    await DeleteAsync();
                    break;
                case 2:
                    await LookAsync();
                    break;
                case 3:
                    await TellUsageAsync();
                    break;
            }
        }
    }

    /// <summary>What a task is expected to use: all of it, some of it, in ways that don't fit each other.</summary>
    public static JsonBytes DrawEstimate(Random random) => Object(
        random.Chance(0.6) ? Pair("tokens_in", random.Next(1, 400)) : null,
        random.Chance(0.5) ? Pair("tokens_out", random.Next(1, 100)) : null,
        random.Chance(0.2) ? Pair("tokens", random.Next(1, 500)) : null,
        random.Chance(0.2) ? Pair("money", random.Next(1, 4_000)) : null,
        random.Chance(0.3) ? Pair("requests", random.Next(5)) : null,
        random.Chance(0.2) ? Pair("pull_requests", random.Next(3)) : null,
        random.Chance(0.2) ? Pair("issues", random.Next(3)) : null,
        random.Chance(0.5) ? $"\"model\":\"{random.Pick(Models)}\"" : null);

    /// <summary>What was used: now and then far more than anybody expected.</summary>
    public static JsonBytes DrawUsage(Random random)
    {
        var many = random.Chance(0.1) ? 50 : 1;
        return Object(
            random.Chance(0.8) ? Pair("tokens_in", random.Next(400) * many) : null,
            random.Chance(0.8) ? Pair("tokens_out", random.Next(100) * many) : null,
            random.Chance(0.1) ? Pair("tokens", random.Next(500)) : null,
            random.Chance(0.2) ? Pair("money", random.Next(4_000) * many) : null,
            random.Chance(0.4) ? Pair("requests", random.Next(6)) : null,
            random.Chance(0.2) ? Pair("pull_requests", random.Next(3)) : null,
            random.Chance(0.2) ? Pair("issues", random.Next(3)) : null);
    }

    public static Amounts DrawBudget(Random random) => new([.. AllowanceTable.BudgetUnits.Where(_ => random.Chance(0.25))
        .Select(unit => new KeyValuePair<string, long>(unit.Key, DrawAmount(random, unit.Value))).DefaultIfEmpty(new("jobs", random.Next(4)))]);

    public static string? DrawModel(Random random) => random.Chance(0.3) ? random.Pick(Models) : null;

    private static long DrawAmount(Random random, LimitUnit unit) => unit switch
    {
        LimitUnit.Money => random.Pick([0L, 1_500, 8_000, 100_000]),
        LimitUnit.Tokens or LimitUnit.TokensIn or LimitUnit.TokensOut => random.Pick([0L, 300, 1_500, 15_000]),
        LimitUnit.JobMs => random.Pick([0L, 150, 1_500]),
        LimitUnit.CooldownMs => random.Pick([100L, 3_000]),
        LimitUnit.Models => 0,
        _ => random.Pick([0L, 1, 3, 20]),
    };

    private async Task DeleteAsync()
    {
        var id = DrawId();
        await universe.Edge.ExecuteAsync(new DeleteLimit(id) { ByAdmin = true });
        if (random.Chance(0.5))
            await SetAsync(id);
    }

    private async Task SetAsync(string id)
    {
        var known = universe.Disk.Limits.GetValueOrDefault(id);
        var wanted = known is not null && random.Chance(0.85) ? Change(known) : Draw(id);
        var version = random.Chance(0.3) ? (known?.Version ?? 0) + random.Next(2) : (int?)null;
        var reply = await universe.Edge.ExecuteAsync(new SetLimit(wanted, version) { ByAdmin = true });
        switch (reply.Value)
        {
            case LimitOutcome.Done { IsNew: false }:
                universe.Reached(Situation.LimitChanged);
                break;
            case LimitOutcome.Outdated:
                universe.Reached(Situation.LimitChangedMeanwhile);
                break;
            case LimitOutcome.Refused:
                universe.Reached(Situation.LimitOfOtherKindRefused);
                break;
        }
    }

    private Limit Change(Limit known) => Rest(known) with
    {
        Amount = known.Unit == LimitUnit.Models ? 0 : random.Chance(0.3) ? known.Amount * 3 : DrawAmount(random, known.Unit),
        Window = random.Chance(0.8) ? known.Window : DrawWindow(known.IsConsumed),
    };

    private Limit Draw(string id)
    {
        var level = random.Pick([LimitLevel.Agent, LimitLevel.Agent, LimitLevel.Owner, LimitLevel.Team, LimitLevel.Swarm]);
        var unit = random.Pick(Units);
        var needsRepo = unit is LimitUnit.CooldownMs or LimitUnit.PullRequests or LimitUnit.Issues;
        var limit = Rest(new Limit
        {
            Id = id,
            Level = level,
            Target = level switch
            {
                LimitLevel.Swarm => "",
                _ when random.Chance(0.5) => Limit.Each,
                LimitLevel.Agent => $"agent-{random.Next(4)}",
                LimitLevel.Owner => random.Pick(Worker.Owners),
                _ => Team,
            },
            Unit = unit,
            Amount = DrawAmount(random, unit),
            Window = LimitWindow.Lifetime,
            Model = unit != LimitUnit.Models && random.Chance(0.2) ? random.Pick(Models) : null,
            Repo = needsRepo || random.Chance(0.1) ? random.Pick(Repos) : null,
            Version = 0,
            CreatedAt = 0,
            UpdatedAt = 0,
            LastSequence = 0,
        });
        return limit with { Window = DrawWindow(limit.IsConsumed) };
    }

    private Limit Rest(Limit limit) => limit with
    {
        SoftPercent = random.Pick([1, 80, 100]),
        OnExceed = random.Chance(0.5) ? OnExceed.Pause : OnExceed.Finish,
        Allow = limit.Unit == LimitUnit.Models ? random.Pick<string[]>([[], ["s*"], ["small", "large"]]) : [],
        Deny = limit.Unit == LimitUnit.Models ? [random.Pick(Models)] : [],
    };

    // The shortest rolling window lets its first room go within a run.
    private LimitWindow DrawWindow(bool isConsumed) => !isConsumed || random.Chance(0.2) ? LimitWindow.Lifetime : random.Next(5) switch
    {
        0 => new LimitWindow(WindowKind.Hour),
        1 => new LimitWindow(WindowKind.Day, ResetHour: random.Pick([0, 0, 23])),
        2 => new LimitWindow(WindowKind.Week),
        3 => new LimitWindow(WindowKind.Month),
        _ => new LimitWindow(WindowKind.Rolling, RollingMs: random.Pick([6_000L, 60_000, 3_600_000])),
    };

    private async Task LookAsync()
    {
        var agent = $"agent-{random.Next(8)}";
        var check = await universe.Edge.ExecuteAsync(new CheckAllowance(agent, null) { ByAdmin = true });
        if (check.Value is { } answer)
        {
            universe.Reached(Situation.AllowanceChecked);
            if (answer.Allowed != (answer.Refusal is null) || answer.Refusal is { Message.Length: 0 })
                universe.Fail("allowance", $"Agent {agent} is told {(answer.Allowed ? "yes" : "no")}: {answer.Refusal}.");
        }

        await universe.Edge.ExecuteAsync(new ReadAllowance(agent) { ByAdmin = true });
        await universe.Edge.ExecuteAsync(new ReadLimit(DrawId(), 10) { ByAdmin = true });
        await universe.Edge.ExecuteAsync(new ListLimits(null, 3) { ByAdmin = true });
        await universe.Edge.ExecuteAsync(new ReadTopSpenders(5, null) { ByAdmin = true });
    }

    // Of an agent that may never have been there.
    private async Task TellUsageAsync()
    {
        var report = new ReportUsage(
            $"bill-{told++}", $"agent-{random.Next(8)}", null, null, DrawModel(random), random.Chance(0.3) ? random.Pick(Repos) : null, DrawUsage(random), new UsageFacts(0, null, null));
        var reply = await universe.Edge.ReportUsageAsync(report, byAdmin: true);
        if (reply.Value is UsageOutcome.Taken)
            universe.Reached(Situation.UsageOfNoTask);
    }

    private string DrawId() => $"limit-{random.Next(Ids)}";

    private static string Pair(string name, int value) => string.Create(CultureInfo.InvariantCulture, $"\"{name}\":{value}");

    private static JsonBytes Object(params string?[] members) => JsonBytes.Parse($"{{{string.Join(',', members.Where(member => member is not null))}}}");
}
