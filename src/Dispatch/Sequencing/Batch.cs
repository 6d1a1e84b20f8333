using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Sessions;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Sequencing;

/// <summary>
/// Everything one commit writes: the events and the rows they changed, each row once, as it stands at the end of the batch.
/// Immutable once closed, so that the store may write it while the sequencer decides the next one.
/// </summary>
public sealed class Batch
{
    public required IReadOnlyList<DispatchEvent> Events { get; init; }

    /// <summary>The data of <see cref="Events"/> as text, and their hashes. Valid until the batch's observers have been told of it.</summary>
    public required EventTexts Texts { get; init; }

    /// <summary>In order of task number: new rows first appear in rising order, which keeps the store's inserts at the end of its trees.</summary>
    public required IReadOnlyList<TaskRow> Tasks { get; init; }

    public required IReadOnlyList<EndedAttempt> Attempts { get; init; }

    public required IReadOnlyList<IdempotencyRow> Keys { get; init; }

    public required IReadOnlyList<Agent> Agents { get; init; }

    public required IReadOnlyList<string> RemovedAgents { get; init; }

    public required IReadOnlyList<AgentToken> Tokens { get; init; }

    public required IReadOnlyList<Session> Sessions { get; init; }

    /// <summary>Ids of sessions that are open no more.</summary>
    public required IReadOnlyList<string> ClosedSessions { get; init; }

    public required IReadOnlyList<Publisher> Publishers { get; init; }

    public required IReadOnlyList<string> RemovedPublishers { get; init; }

    public required IReadOnlyList<PublishedRow> Published { get; init; }

    public required IReadOnlyList<WebhookEndpoint> Webhooks { get; init; }

    /// <summary>Their delivery history goes with them.</summary>
    public required IReadOnlyList<string> RemovedWebhooks { get; init; }

    /// <summary>By number; a new one with its proposal.</summary>
    public required IReadOnlyList<QuestionRow> Questions { get; init; }

    public required IReadOnlyList<Responder> Responders { get; init; }

    public required IReadOnlyList<string> RemovedResponders { get; init; }

    /// <summary>Limits and budgets of tasks.</summary>
    public required IReadOnlyList<Limit> Limits { get; init; }

    public required IReadOnlyList<string> RemovedLimits { get; init; }

    /// <summary>Those whose rows are written now; that of others may be behind. What is reserved is not in them.</summary>
    public required IReadOnlyList<LimitBalance> Balances { get; init; }

    /// <summary>What events up to this one changed is in the rows of all balances; null: what all of them did. See <see cref="BalanceRecovery"/>.</summary>
    public required long? BalancesWritten { get; init; }

    public required IReadOnlyList<string> RemovedBalances { get; init; }

    /// <summary>Usage reports that were taken.</summary>
    public required IReadOnlyList<UsageRow> Usage { get; init; }

    /// <summary>Numbers of finished tasks to delete with everything that hangs on them.</summary>
    public required IReadOnlyList<long> PrunedTasks { get; init; }

    /// <summary>Tasks in each state after the batch, indexed by <see cref="TaskState"/>.</summary>
    public required IReadOnlyList<long> Totals { get; init; }

    /// <summary>Sequence of the oldest event that is kept from this commit on; null: as before. Its base is there, and prepared for.</summary>
    public long? Horizon { get; init; }

    /// <summary>True when there is nothing to write.</summary>
    public bool IsEmpty => Events.Count == 0;

    public long LastSequence => Events[^1].Sequence;
}

/// <summary>What of a task's rows is to be written.</summary>
public enum RowChange : byte
{
    /// <summary>The columns that change while it lives.</summary>
    State,

    /// <summary>Those, and the payload row (description, labels, context ...).</summary>
    StateAndSpec,

    /// <summary>A new task: everything.</summary>
    Insert,
}

/// <param name="Spec">Not null when <paramref name="Change"/> asks for it.</param>
public readonly record struct TaskRow(WorkTask Task, TaskSpec? Spec, RowChange Change);

/// <summary>An idempotency key that was used: one task per (caller, key).</summary>
/// <param name="BodyHash">Lower-case hexadecimal, of the request in canonical form.</param>
public sealed record IdempotencyRow(string Caller, string Key, string BodyHash, TaskId Task, long TaskNumber);
