namespace Dispatch.Simulation;

/// <summary>Faults planted on purpose, outside the core: the checks must catch each, or they prove nothing.</summary>
internal enum Bug
{
    None,

    /// <summary>The sequencer answers before the commit.</summary>
    AnswerBeforeCommit,

    /// <summary>The disk says that it wrote and loses its newest commits in a crash.</summary>
    LosesAcknowledgedCommit,

    /// <summary>A commit that happened is reported as one that did not.</summary>
    UnknownToldAsFailed,

    /// <summary>Some batch is written without its task rows.</summary>
    TornBatch,

    /// <summary>Some batch loses its last event.</summary>
    EventDropped,

    /// <summary>Some update of a task row is written with another column than it should.</summary>
    ColumnMangled,

    /// <summary>Totals are not written.</summary>
    TotalsNotWritten,

    /// <summary>Idempotency keys are not found again.</summary>
    KeysForgotten,

    /// <summary>The edge takes reports for whoever holds the task: no fence.</summary>
    FenceRemoved,

    /// <summary>An event's time is that of a clock that was set back.</summary>
    TimeGoesBack,

    /// <summary>The event of one assignment is written a second time under the next number.</summary>
    AssignedTwice,

    /// <summary>Timers of the process stop firing at some point.</summary>
    TimersDie,

    /// <summary>Read facts claim to be as of a later moment than they were read.</summary>
    FactsFromThePast,

    /// <summary>A base lacks a task.</summary>
    BaseForgetsTask,

    /// <summary>Where events below the horizon are deleted, one above it goes too.</summary>
    TrimmedTooFar,

    /// <summary>What an attempt had reserved of some limit is not given back with its end.</summary>
    ReservationKept,

    /// <summary>What was spent of some limit is booked twice.</summary>
    SpendingBookedTwice,

    /// <summary>That balances are still to be written is not said: what happened since is not looked for in the log.</summary>
    BalancesForgotten,

    /// <summary>Some attempt reserves more than a limit has.</summary>
    OverspendAllowed,

    /// <summary>Usage reports that were taken are not found again.</summary>
    UsageReportsForgotten,
}
