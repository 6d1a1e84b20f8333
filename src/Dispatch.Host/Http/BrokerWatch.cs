using Dispatch.Allowances;
using Dispatch.Host.Auth;
using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Http;

/// <summary>
/// Follows the sequencer for everybody outside it: wakes waiting exchanges and reads, keeps the directories of tokens and sessions, measures.
/// </summary>
internal sealed class BrokerWatch(EventFeed feed, TaskWatch tasks, AgentCalls calls, TokenDirectory tokens, SessionDirectory sessions, DispatchMetrics metrics, TaskTimes times, ILogger<BrokerWatch> logger)
    : ISequencerObserver
{
    /// <summary>An agent is not registered any more: what was remembered about it can go.</summary>
    public event Action<string>? AgentLeft;

    /// <summary>Webhooks were made, changed or removed, or may have been.</summary>
    public event Action? WebhooksChanged;

    public void Committed(ClosedBatch batch, TimeSpan commit)
    {
        foreach (var agent in batch.Called)
            calls.Ring(agent);
        if (batch.Batch.IsEmpty)
            return;

        foreach (var token in batch.Batch.Tokens)
            tokens.Add(token);

        // Before the log goes on: a guest sees nothing from its session's end on, not even of a session that takes over its id.
        sessions.Follow(batch.Batch.Sessions, batch.Batch.ClosedSessions, batch.Batch.LastSequence);
        feed.Append(batch.Batch);
        if (batch.Batch.Webhooks.Count + batch.Batch.RemovedWebhooks.Count > 0)
            WebhooksChanged?.Invoke();
        metrics.RecordCommit(batch.Answers.Count, commit);
        var created = 0;
        foreach (var happened in batch.Batch.Events)
        {
            switch (happened.Data)
            {
                case TaskCreated:
                    created++;
                    break;
                case TaskAssigned assigned:
                    metrics.RecordAssignment(assigned.QueuedMs);
                    times.Queued(assigned.QueuedMs);
                    break;
                case AllowanceExceeded:
                    metrics.RecordAllowanceExceeded();
                    break;
            }
        }

        if (created > 0)
            metrics.RecordSubmitted(created);
        foreach (var attempt in batch.Batch.Attempts)
        {
            metrics.RecordAttempt(attempt.Outcome, attempt.EndedAt - attempt.AssignedAt);
            times.Ended(attempt);
        }

        foreach (var agent in batch.Batch.RemovedAgents)
        {
            times.Forget(agent);
            AgentLeft?.Invoke(agent);
            calls.Ring(agent);
        }

        tasks.Tell(batch.Batch.Tasks);
    }

    public void StoreFailed(Exception failure)
    {
        metrics.RecordCommitFailure();
        logger.StoreFailed(failure.Message);
    }

    public void Loaded(State state)
    {
        tokens.Replace(state.Tokens.All);
        sessions.Replace([.. state.Sessions.All], state.Sequence);
        feed.Start(state.Sequence, state.Horizon);
        WebhooksChanged?.Invoke();
        logger.Loaded(state.Sequence, state.Tasks.Count, state.Agents.Count);
    }
}

internal static partial class BrokerMessages
{
    [LoggerMessage(EventId = 4001, Level = LogLevel.Information, Message = "State loaded at sequence {Sequence}: {Tasks} live tasks, {Agents} agents")]
    public static partial void Loaded(this ILogger logger, long sequence, int tasks, int agents);

    [LoggerMessage(EventId = 4002, Level = LogLevel.Error, Message = "The store refused: {Reason}")]
    public static partial void StoreFailed(this ILogger logger, string reason);

    [LoggerMessage(EventId = 4003, Level = LogLevel.Information, Message = "Listening on {Url}, operations on {OperationsUrl}, data in {Directory} (version {Version})")]
    public static partial void Listening(this ILogger logger, string url, string operationsUrl, string directory, string version);

    [LoggerMessage(EventId = 4004, Level = LogLevel.Warning, Message = "{Key} is set, but this release does not use it yet")]
    public static partial void Unused(this ILogger logger, string key);

    [LoggerMessage(EventId = 4005, Level = LogLevel.Information, Message = "Stopping: no more requests are taken")]
    public static partial void Stopping(this ILogger logger);

    [LoggerMessage(EventId = 4006, Level = LogLevel.Information, Message = "Stopped at sequence {Sequence}")]
    public static partial void Stopped(this ILogger logger, long sequence);

    [LoggerMessage(EventId = 4007, Level = LogLevel.Critical, Message = "The sequencer ended; the process stops so that a restart loads what is durable")]
    public static partial void SequencerEnded(this ILogger logger, Exception? failure);

    [LoggerMessage(EventId = 4008, Level = LogLevel.Information, Message = "The administrator's token was made and is kept in {File}")]
    public static partial void AdminTokenMade(this ILogger logger, string file);

    [LoggerMessage(EventId = 4009, Level = LogLevel.Warning, Message = "Retention sweep failed and is tried again later: {Reason}")]
    public static partial void SweepFailed(this ILogger logger, string reason);

    [LoggerMessage(EventId = 4011, Level = LogLevel.Error, Message = "The store did not close in time; what it was writing, the next start will see")]
    public static partial void StoreHangs(this ILogger logger);

    [LoggerMessage(EventId = 4010, Level = LogLevel.Information, Message = "Connection of agent {Agent} dropped; {Returned} unstarted tasks went back")]
    public static partial void ConnectionDropped(this ILogger logger, string agent, int returned);
}
