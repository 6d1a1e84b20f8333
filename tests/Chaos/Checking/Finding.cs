namespace Dispatch.Chaos.Checking;

/// <summary>A promise that was broken.</summary>
/// <param name="Kind">Stable name, for counting.</param>
/// <param name="Invariant">The promise's number in the catalogue of invariants, such as I-1.</param>
/// <param name="Subject">The task or operation it is about.</param>
public sealed record Finding(FindingKind Kind, string Invariant, string Subject, string Text)
{
    public override string ToString() => $"{Kind} ({Invariant}) {Subject}: {Text}";
}

public enum FindingKind
{
    /// <summary>An acknowledged task is not there.</summary>
    Lost,

    /// <summary>One submission became two tasks.</summary>
    Duplicated,

    /// <summary>A task is there that nobody submitted, or that was refused.</summary>
    Invented,

    /// <summary>A bulk submission happened by half.</summary>
    HalfDone,

    /// <summary>An acknowledged report, cancellation, retry or grant left no trace, or another one.</summary>
    Undone,

    /// <summary>A report on somebody else's attempt, or on an old one, was taken.</summary>
    StaleAccepted,

    /// <summary>A completion that nobody may have sent, or a second one.</summary>
    WrongResult,

    /// <summary>A final task changed.</summary>
    Resurrected,

    /// <summary>Attempt numbers don't strictly rise, or one was given to two agents.</summary>
    Fence,

    /// <summary>More attempts than retries allow.</summary>
    Overrun,

    /// <summary>Work began before what it waits for was done, or is kept waiting by what will never be.</summary>
    Dependency,

    /// <summary>The event log has a gap, a repeat, or doesn't fit the task.</summary>
    Log,

    /// <summary>A runnable task did not come to its end in time.</summary>
    Stuck,

    /// <summary>A fault was over, and the nodes did not answer in time.</summary>
    Unavailable,

    /// <summary>An answer or a behaviour that the contract rules out.</summary>
    Breach,

    /// <summary>The run did not do what it is meant to judge, so it proves nothing.</summary>
    Idle,
}
