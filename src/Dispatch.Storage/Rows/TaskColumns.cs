using System.Text.Json;
using Dispatch.Tasks;

namespace Dispatch.Storage.Rows;

/// <summary>The columns of <c>tasks</c>, in the order of the table.</summary>
internal enum TaskColumn
{
    Number,
    Id,
    Status,
    Title,
    Requester,
    Scope,
    Owner,
    Submitter,
    Session,
    Required,
    Preferred,
    DependsOn,
    ParentId,
    CreatedAt,
    Cost,

    // From here on: what changes while a task lives.
    Priority,
    MaxRetries,
    TimeoutMs,
    RunAt,
    Deadline,
    QueuedAt,
    NextAttemptAt,
    Assignee,
    Attempt,
    RetryCount,
    AssignedAt,
    StartedAt,
    CompletedAt,
    LastAgent,
    LastOutcome,
    DeadLettered,
    Error,
    Progress,
    Usage,
    Why,
    LastSequence,
    MaxRunMs,
    Charge,
}

/// <summary>
/// A task to and from its row in <c>tasks</c>. Every statement numbers its parameters like the columns, so that an insert and
/// an update bind the same way. A time of 0 is NULL. Used by one thread at a time.
/// </summary>
internal sealed class TaskColumns
{
    internal static readonly TaskColumn[] All = Enum.GetValues<TaskColumn>();

    /// <summary>Those that change while a task lives.</summary>
    internal static readonly TaskColumn[] OfState = [.. All.Where(column => column is TaskColumn.Status or >= TaskColumn.Priority)];

    /// <summary>Every column, in order.</summary>
    internal static readonly string List = string.Join(", ", All.Select(Name));

    /// <summary>The same places, but without what only people read: for loading many.</summary>
    internal static readonly string StateList = string.Join(
        ", ", All.Select(column => column is TaskColumn.Title or TaskColumn.Scope or TaskColumn.Submitter ? "NULL" : Name(column)));

    private readonly JsonText json = new();
    private readonly RowTexts texts = new();
    private readonly (string[]? List, byte[] Text)[] lists = new (string[]?, byte[])[2];

    /// <summary>Binds what never changes, apart from what the spec says.</summary>
    internal void BindIdentity(IRowParameters row, WorkTask task)
    {
        row.Bind(At(TaskColumn.Id), task.Id.Value);
        row.Bind(At(TaskColumn.Requester), task.Requester);
        row.Bind(At(TaskColumn.Owner), task.Needs.Owner);
        row.Bind(At(TaskColumn.Session), task.Session);
        BindList(row, TaskColumn.Required, task.Needs.Required);
        BindList(row, TaskColumn.Preferred, task.Needs.Preferred);
        if (task.DependsOn.Length > 0)
        {
            JsonSerializer.Serialize(json.Start(), task.DependsOn, RowJson.Default.TaskIdArray);
            row.BindText(At(TaskColumn.DependsOn), json.End());
        }

        if (!task.Parent.IsNone)
            row.Bind(At(TaskColumn.ParentId), task.Parent.Value);
        row.Bind(At(TaskColumn.CreatedAt), task.CreatedAt);
        if (task.Cost is { } cost)
        {
            JsonSerializer.Serialize(json.Start(), cost, RowJson.Default.TaskCost);
            row.BindText(At(TaskColumn.Cost), json.End());
        }
    }

    internal void BindState(IRowParameters row, WorkTask task)
    {
        row.Bind(At(TaskColumn.Number), task.Number);
        row.BindText(At(TaskColumn.Status), Words.State.Word((int)task.Status));
        row.Bind(At(TaskColumn.Priority), (long)task.Priority);
        row.Bind(At(TaskColumn.MaxRetries), (long)task.MaxRetries);
        row.Bind(At(TaskColumn.TimeoutMs), task.TimeoutMs);
        BindTime(row, TaskColumn.RunAt, task.RunAt);
        BindTime(row, TaskColumn.Deadline, task.Deadline);
        BindTime(row, TaskColumn.QueuedAt, task.QueuedAt);
        BindTime(row, TaskColumn.NextAttemptAt, task.NextAttemptAt);
        row.Bind(At(TaskColumn.Assignee), task.Assignee);
        row.Bind(At(TaskColumn.Attempt), (long)task.Attempt);
        row.Bind(At(TaskColumn.RetryCount), (long)task.RetryCount);
        BindTime(row, TaskColumn.AssignedAt, task.AssignedAt);
        BindTime(row, TaskColumn.StartedAt, task.StartedAt);
        BindTime(row, TaskColumn.CompletedAt, task.CompletedAt);
        row.Bind(At(TaskColumn.LastAgent), task.LastAgent);
        if (task.LastOutcome != AttemptOutcome.None)
            row.BindText(At(TaskColumn.LastOutcome), Words.Outcome.Word((int)task.LastOutcome));
        row.Bind(At(TaskColumn.DeadLettered), task.DeadLettered);
        row.Bind(At(TaskColumn.Error), task.Error);
        if (task.Progress is { } progress)
        {
            JsonSerializer.Serialize(json.Start(), progress, RowJson.Default.TaskProgress);
            row.BindText(At(TaskColumn.Progress), json.End());
        }

        if (task.Usage is { } usage)
            row.BindText(At(TaskColumn.Usage), usage.Span);
        if (task.Why is { } why)
        {
            JsonSerializer.Serialize(json.Start(), why, RowJson.Default.MatchScore);
            row.BindText(At(TaskColumn.Why), json.End());
        }

        row.Bind(At(TaskColumn.LastSequence), task.LastSequence);
        BindTime(row, TaskColumn.MaxRunMs, task.MaxRunMs);
        if (task.Charge is { } charge)
        {
            JsonSerializer.Serialize(json.Start(), charge, RowJson.Default.TaskCharge);
            row.BindText(At(TaskColumn.Charge), json.End());
        }
    }

    /// <summary>The task of the current row of a query for <see cref="List"/> or <see cref="StateList"/>.</summary>
    internal WorkTask Read(IStoredRow row)
    {
        var status = Words.State.Parse(row.Utf8((int)TaskColumn.Status));
        return new WorkTask
        {
            Number = row.Int64((int)TaskColumn.Number),
            Id = ReadId(row, TaskColumn.Id),
            Status = status,
            Requester = texts.Get(row.Utf8((int)TaskColumn.Requester)),
            Needs = texts.GetRequirement(
                row.Utf8((int)TaskColumn.Required), row.Utf8((int)TaskColumn.Preferred), row.Utf8((int)TaskColumn.Owner)),
            Session = ReadText(row, TaskColumn.Session),
            DependsOn = row.Utf8((int)TaskColumn.DependsOn) is { Length: > 0 } ids ? JsonSerializer.Deserialize(ids, RowJson.Default.TaskIdArray)! : [],
            Parent = ReadId(row, TaskColumn.ParentId),
            CreatedAt = row.Int64((int)TaskColumn.CreatedAt),
            Priority = (byte)row.Int64((int)TaskColumn.Priority),
            MaxRetries = row.Int32((int)TaskColumn.MaxRetries),
            TimeoutMs = row.Int64((int)TaskColumn.TimeoutMs),
            RunAt = row.Int64((int)TaskColumn.RunAt),
            Deadline = row.Int64((int)TaskColumn.Deadline),
            QueuedAt = row.Int64((int)TaskColumn.QueuedAt),
            NextAttemptAt = row.Int64((int)TaskColumn.NextAttemptAt),
            Assignee = ReadText(row, TaskColumn.Assignee),
            Attempt = row.Int32((int)TaskColumn.Attempt),
            RetryCount = row.Int32((int)TaskColumn.RetryCount),
            AssignedAt = row.Int64((int)TaskColumn.AssignedAt),
            StartedAt = row.Int64((int)TaskColumn.StartedAt),
            CompletedAt = row.Int64((int)TaskColumn.CompletedAt),
            LastAgent = ReadText(row, TaskColumn.LastAgent),
            LastOutcome = row.Utf8((int)TaskColumn.LastOutcome) is { Length: > 0 } outcome ? Words.Outcome.Parse(outcome) : AttemptOutcome.None,
            DeadLettered = row.Boolean((int)TaskColumn.DeadLettered),
            Error = row.NullableText((int)TaskColumn.Error),
            Progress = row.Utf8((int)TaskColumn.Progress) is { Length: > 0 } progress ? JsonSerializer.Deserialize(progress, RowJson.Default.TaskProgress) : null,
            Usage = row.NullableJson((int)TaskColumn.Usage),
            Why = row.Utf8((int)TaskColumn.Why) is { Length: > 0 } why ? JsonSerializer.Deserialize(why, RowJson.Default.MatchScore) : null,
            LastSequence = row.Int64((int)TaskColumn.LastSequence),
            Cost = row.Utf8((int)TaskColumn.Cost) is { Length: > 0 } cost ? JsonSerializer.Deserialize(cost, RowJson.Default.TaskCost) : null,
            MaxRunMs = row.Int64((int)TaskColumn.MaxRunMs),
            Charge = row.Utf8((int)TaskColumn.Charge) is { Length: > 0 } charge ? JsonSerializer.Deserialize(charge, RowJson.Default.TaskCharge) : null,
        };
    }

    /// <summary>The number of a column's parameter.</summary>
    internal static int At(TaskColumn column) => (int)column + 1;

    internal static string Name(TaskColumn column) => JsonNamingPolicy.SnakeCaseLower.ConvertName(column.ToString());

    private static void BindTime(IRowParameters row, TaskColumn column, long time)
    {
        if (time != 0)
            row.Bind(At(column), time);
    }

    private void BindList(IRowParameters row, TaskColumn column, string[] list)
    {
        if (list.Length == 0)
            return;

        // Tasks that ask for the same share one list, and mostly come one after another.
        ref var latest = ref lists[column == TaskColumn.Required ? 0 : 1];
        if (!ReferenceEquals(latest.List, list))
        {
            JsonSerializer.Serialize(json.Start(), list, RowJson.Default.StringArray);
            latest = (list, json.End().ToArray());
        }

        row.BindText(At(column), latest.Text);
    }

    private string? ReadText(IStoredRow row, TaskColumn column)
    {
        var text = row.Utf8((int)column);
        return text.IsEmpty && row.IsNull((int)column) ? null : texts.Get(text);
    }

    private static TaskId ReadId(IStoredRow row, TaskColumn column)
    {
        var text = row.Utf8((int)column);
        if (text.IsEmpty)
            return default;
        return TaskId.TryParse(text, out var id) ? id : throw new FormatException($"'{row.Text((int)column)}' is not a task id.");
    }
}
