namespace Dispatch.Chaos.Nodes;

/// <summary>What can befall several nodes and their database.</summary>
public enum FaultKind
{
    /// <summary>SIGKILL of the node that writes; started again a little later.</summary>
    KillWriter,

    /// <summary>SIGSTOP of the node that writes, for longer than its lease, then SIGCONT: it wakes up and believes that it still writes.</summary>
    PauseWriter,

    /// <summary>SIGKILL of the database; started again at once.</summary>
    KillDatabase,

    /// <summary>Between the node that writes and the database everything is swallowed, for longer than its lease.</summary>
    SwallowWriter,

    /// <summary>A batch gets to the database by half.</summary>
    CutInBatch,

    /// <summary>A whole batch gets to the database, and its answer does not come back.</summary>
    CutAfterBatch,

    /// <summary>The answer of a batch gets half-way back.</summary>
    CutInAnswer,

    /// <summary>The connections of the node that writes to the database are reset, and none is made for a while.</summary>
    CutOffWriter,

    /// <summary>The database reads the end of each connection of the node that writes; the other direction goes on.</summary>
    HalfCloseWriter,

    /// <summary>SIGKILL of a node that does not write.</summary>
    KillOther,

    /// <summary>SIGTERM of the node that writes; started again.</summary>
    RestartWriter,

    /// <summary>The database is stopped in good order, and started again.</summary>
    RestartDatabase,

    /// <summary>The database stands still for all nodes: what they say is swallowed.</summary>
    SwallowAll,

    /// <summary>Each way to and from the database takes longer.</summary>
    Slow,
}

/// <summary>One fault.</summary>
/// <param name="After">How long all is well before it.</param>
/// <param name="Length">How long it lasts; for one of a moment, how long the node stays down.</param>
/// <param name="Nth">Which match springs a trap; draws a node where it does not matter which.</param>
public sealed record PlannedFault(FaultKind Kind, TimeSpan After, TimeSpan Length, int Nth);

/// <summary>Which faults come in which order, drawn from a seed.</summary>
public static class Schedule
{
    /// <summary>Each run has these first, so that a short one has seen what matters most.</summary>
    private static readonly IReadOnlyList<FaultKind> First = [FaultKind.KillWriter, FaultKind.PauseWriter, FaultKind.KillDatabase, FaultKind.CutAfterBatch];

    /// <summary>Draws them: the most important first, then each other kind once, then anew.</summary>
    /// <param name="only">Nothing but this kind; null: all.</param>
    public static IReadOnlyList<PlannedFault> Draw(int seed, int count, FaultKind? only = null)
    {
        var chance = new Random(seed);
        var kinds = new List<FaultKind>();
        while (kinds.Count < count)
        {
            if (only is { } one)
                kinds.Add(one);
            else
                kinds.AddRange(Shuffled(First, chance).Concat(Shuffled(Enum.GetValues<FaultKind>().Except(First), chance)));
        }

        return [.. kinds.Take(count).Select(kind => new PlannedFault(kind, Milliseconds(300, 1_500), LengthOf(kind), chance.Next(2, 20)))];

        TimeSpan LengthOf(FaultKind kind) => kind switch
        {
            // Longer than a writer's lease of 6 s, shorter than an actor's patience of 10 s: who waits at the node hears what it says when it wakes up.
            FaultKind.PauseWriter => Milliseconds(8_000, 9_000),
            FaultKind.SwallowWriter => Milliseconds(7_500, 11_000),
            FaultKind.CutOffWriter or FaultKind.SwallowAll or FaultKind.Slow => Milliseconds(2_000, 8_000),
            FaultKind.CutInBatch or FaultKind.CutAfterBatch or FaultKind.CutInAnswer => TimeSpan.FromSeconds(5),
            _ => Milliseconds(0, 2_500),
        };

        TimeSpan Milliseconds(int least, int most) => TimeSpan.FromMilliseconds(chance.Next(least, most));
    }

    private static FaultKind[] Shuffled(IEnumerable<FaultKind> kinds, Random chance)
    {
        var shuffled = kinds.ToArray();
        chance.Shuffle(shuffled);
        return shuffled;
    }
}
