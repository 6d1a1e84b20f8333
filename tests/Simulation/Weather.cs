using Dispatch.Allowances;
using Dispatch.Sequencing;
using Dispatch.Simulation.Actors;

namespace Dispatch.Simulation;

/// <summary>
/// Which faults are on in a run and how strong: drawn from its seed, so that each run has a character ("swarm testing": all faults at
/// once hide the bugs that need one fault and quiet otherwise).
/// </summary>
internal sealed class Weather
{
    public double CommitMs { get; private set; }

    public double ReadMs { get; private set; }

    public double NetworkMs { get; private set; }

    public double CommitFails { get; private set; }

    public double CommitUnknownDone { get; private set; }

    public double CommitUnknownNotDone { get; private set; }

    public double CommitHangs { get; private set; }

    public double CommitFatal { get; private set; }

    public double ReadFails { get; private set; }

    public double LoadFails { get; private set; }

    public double ProbeFails { get; private set; }

    public double RequestLost { get; private set; }

    public double AnswerLost { get; private set; }

    public bool Crashes { get; private init; }

    public bool Stops { get; private init; }

    public bool Freezes { get; private init; }

    public bool DiskFills { get; private init; }

    public bool ClockIsSet { get; private init; }

    public bool ThroughJson { get; private init; }

    public bool WorkersMisbehave { get; private init; }

    public bool AgentsComeAndGo { get; private init; }

    public bool AgentsSleep { get; private init; }

    public bool TasksDepend { get; private init; }

    public bool TasksAreScheduled { get; private init; }

    public bool KeysAreUsed { get; private init; }

    public bool TasksAreRemoved { get; private init; }

    public bool PeopleInterfere { get; private init; }

    public bool TasksAreConfirmed { get; private init; }

    public bool SettingsChange { get; private init; }

    public bool LogIsTrimmed { get; private init; }

    public bool WorkIsLimited { get; private init; }

    /// <summary>Tasks ask for nothing, so that there is experience with their like.</summary>
    public bool TasksAreAlike { get; private init; }

    public required StateOptions State { get; init; }

    /// <summary>How long a lease may be at any time of the run.</summary>
    public long LongestLeaseMs => SettingsChange ? State.LeaseMs * 2 : State.LeaseMs;

    /// <summary>Whether the rule about owners holds for the whole log; null: now it does and now it doesn't.</summary>
    public bool? OwnerFilter => SettingsChange ? null : State.OwnerFilter;

    public required SequencerOptions Loop { get; init; }

    public int Workers { get; private init; }

    public int Requesters { get; private init; }

    /// <summary>How long a worker takes, in milliseconds.</summary>
    public int WorkMs { get; private init; }

    public static Weather Draw(Random random, Bug bug)
    {
        bool Often() => random.Chance(0.6);
        double Rate(double most) => random.Chance(0.4) ? random.NextDouble() * most : 0;
        var tiny = random.Chance(0.35);
        return new Weather
        {
            CommitMs = random.Pick([0.5, 5, 20, 150]),
            ReadMs = bug == Bug.FactsFromThePast ? 60 : random.Pick([0, 1, 10, 60]),
            NetworkMs = random.Pick([0.2, 2, 30]),
            CommitFails = Rate(0.08),
            CommitUnknownDone = bug == Bug.UnknownToldAsFailed ? 0.05 : Rate(0.06),
            CommitUnknownNotDone = Rate(0.06),
            CommitHangs = Rate(0.01),
            CommitFatal = Rate(0.03),
            ReadFails = Rate(0.05),
            LoadFails = Rate(0.3),
            ProbeFails = Rate(0.4),
            RequestLost = Rate(0.05),
            AnswerLost = Rate(0.1),
            Crashes = bug == Bug.LosesAcknowledgedCommit || Often(),
            Stops = Often(),
            Freezes = random.Chance(0.3),
            DiskFills = random.Chance(0.3),
            ClockIsSet = Often(),
            ThroughJson = random.Chance(0.3),
            WorkersMisbehave = bug == Bug.FenceRemoved || Often(),
            AgentsComeAndGo = Often(),
            AgentsSleep = Often(),
            TasksDepend = Often(),
            TasksAreScheduled = Often(),
            KeysAreUsed = bug is Bug.KeysForgotten or Bug.FactsFromThePast || Often(),
            TasksAreRemoved = bug == Bug.FactsFromThePast || random.Chance(0.4),
            PeopleInterfere = Often(),
            Workers = random.Next(1, 7),
            Requesters = random.Next(1, 5),
            WorkMs = random.Pick([20, 300, 2_000]),
            State = new StateOptions
            {
                LeaseMs = random.Pick([1_500L, 5_000, 15_000]),
                ReapAfterMs = random.Pick([8_000L, 40_000, 86_400_000]),
                WakeTimeoutMs = random.Pick([800L, 4_000]),
                AgingMs = random.Pick([100L, 2_000, 60_000]),
                OwnerFilter = random.Chance(0.8),
                RetryBaseMs = random.Pick([1L, 200, 1_000]),
                RetryCapMs = random.Pick([1_000L, 8_000]),
                QuestionTimeoutMs = random.Pick([2_000L, 20_000]),
                SpecBudget = tiny ? 600 : 64 << 20,
                SpecLimit = tiny ? 140 : 2_048,
                RecentKept = random.Pick([3, 20, 20_000]),
                BalanceLagEvents = random.Pick([0, 5, 60, 1 << 18]),
                BalanceLagMs = random.Pick([2_000, 60_000, 86_400_000]),
                DueLimit = random.Chance(0.2) ? 1 : 2_000,
                MatchLimit = random.Chance(0.2) ? 1 : 5_000,
                TickMs = random.Pick([200L, 5_000]),
                Allowances = Allowances(random),
            },
            Loop = new SequencerOptions
            {
                QueueCapacity = random.Chance(0.2) ? 3 : 16_384,
                BatchCommands = random.Pick([1, 4, 2_048]),
                BatchEvents = random.Pick([4, 8_192]),
                ReadyCommands = random.Pick([1, 3]),
                ReadyEvents = random.Pick([1, 8, 1_024]),
                AnswerBeforeCommit = bug == Bug.AnswerBeforeCommit,
            },
            TasksAreConfirmed = Often(),
            SettingsChange = random.Chance(0.4),
            LogIsTrimmed = bug is Bug.BaseForgetsTask or Bug.TrimmedTooFar || Often(),
            TasksAreAlike = random.Chance(0.25),
            WorkIsLimited = bug is Bug.ReservationKept or Bug.BalancesForgotten or Bug.SpendingBookedTwice or Bug.OverspendAllowed or Bug.UsageReportsForgotten || Often(),
        };
    }

    /// <summary>Both owners in one team, or one of them alone; what a task may need when it says nothing is small beside the limits, or more than most of them.</summary>
    private static AllowanceOptions Allowances(Random random) => new()
    {
        TeamOf = random.Chance(0.5)
            ? new Dictionary<string, string> { ["ann"] = Treasurer.Team, ["bob"] = Treasurer.Team }
            : new Dictionary<string, string> { ["ann"] = Treasurer.Team },
        Prices = new Dictionary<string, ModelPrice> { ["small"] = new(1_000_000, 5_000_000), ["large"] = new(15_000_000, 75_000_000) },
        DefaultModel = random.Chance(0.5) ? "small" : null,
        DefaultTokensIn = random.Pick([80L, 8_000]),
        DefaultTokensOut = random.Pick([20L, 2_000]),
    };

    /// <summary>A store that does what it is told, at once.</summary>
    public static Weather Fair() => new() { ThroughJson = true, State = new StateOptions(), Loop = new SequencerOptions() };

    /// <summary>The storm is over: what is left of it is only time passing.</summary>
    public void Clear()
    {
        CommitFails = CommitUnknownDone = CommitUnknownNotDone = CommitHangs = CommitFatal = ReadFails = LoadFails = ProbeFails = RequestLost = AnswerLost = 0;
        (CommitMs, ReadMs, NetworkMs) = (2, 1, 1);
    }
}
