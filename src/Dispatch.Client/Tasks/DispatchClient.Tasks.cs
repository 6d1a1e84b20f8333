using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);

    private static PathAndQuery Tasks => new("api/v1/tasks");

    /// <summary>Submits one task.</summary>
    public async Task<Submission> SubmitAsync(NewTask task, CancellationToken cancel = default)
    {
        var keyed = WithKey(task);
        var call = Post(Tasks, IsNamed(keyed) ? Repeating.Safe : Repeating.OnlyIfUntouched) with { Body = Bytes(keyed, WireJson.Default.NewTask) };
        var answer = await connection.SendAsync(call, WireJson.Default.DispatchTask, cancel);
        // A key made for this call cannot have been seen before it, only by an attempt of its own.
        return new Submission(answer.Value, answer.Status == 201 || !ReferenceEquals(keyed, task));
    }

    /// <summary>Submits up to 1,000 tasks: all or none.</summary>
    public async Task<BulkSubmission> SubmitAsync(IReadOnlyList<NewTask> tasks, CancellationToken cancel = default)
    {
        IReadOnlyList<NewTask> keyed = [.. tasks.Select(WithKey)];
        var call = Post(Tasks, keyed.All(IsNamed) ? Repeating.Safe : Repeating.OnlyIfUntouched) with { Body = Bytes(keyed, WireJson.Default.IReadOnlyListNewTask) };
        var answer = await connection.SendAsync(call, WireJson.Default.IReadOnlyListDispatchTask, cancel);
        return new BulkSubmission(answer.Value, answer.Status == 201 || !tasks.Any(IsNamed));
    }

    /// <summary>Reads a task; with <paramref name="wait"/> (at most 60 s) answers when it is final, or as it stands when the time is up.</summary>
    public Task<DispatchTask> GetTaskAsync(string id, TimeSpan wait = default, CancellationToken cancel = default) =>
        ReadAsync(Get(Tasks.Segment(id).With("wait_ms", Milliseconds(wait))) with { Wait = wait }, WireJson.Default.DispatchTask, cancel);

    /// <summary>Waits until a task is final, however long one wait may be; returns it as it stands when the time is up.</summary>
    /// <param name="patience">How long; <see cref="Timeout.InfiniteTimeSpan"/>: until it is final.</param>
    public async Task<DispatchTask> WaitForTaskAsync(string id, TimeSpan patience, CancellationToken cancel = default)
    {
        var started = Options.Clock.GetTimestamp();
        while (true)
        {
            var left = patience == Timeout.InfiniteTimeSpan ? LongestWait : patience - Options.Clock.GetElapsedTime(started);
            var task = await GetTaskAsync(id, left > LongestWait ? LongestWait : left > TimeSpan.Zero ? left : TimeSpan.Zero, cancel);
            if (task.IsFinal || left <= TimeSpan.Zero)
                return task;
        }
    }

    /// <summary>One page of tasks, newest first.</summary>
    /// <param name="cursor"><see cref="TaskPage.NextCursor"/> of the page before; null: the first page.</param>
    public async Task<TaskPage> ListTasksAsync(TaskFilter? filter = null, string? cursor = null, CancellationToken cancel = default)
    {
        filter ??= new TaskFilter();
        var path = Tasks
            .With("status", filter.Status.Count == 0 ? null : string.Join(',', filter.Status))
            .With("requester", filter.Requester).With("assignee", filter.Assignee).With("scope", filter.Scope)
            .With("owner", filter.Owner).With("parent_id", filter.ParentId);
        foreach (var (name, value) in filter.Labels)
            path.With("label", $"{name}={value}");
        var answer = await connection.SendAsync(Get(path.With("limit", filter.Limit).With("cursor", cursor)), WireJson.Default.IReadOnlyListDispatchTask, cancel);
        return new TaskPage(answer.Value, answer.NextCursor);
    }

    /// <summary>All tasks that match, newest first, read page by page as they are asked for.</summary>
    public IAsyncEnumerable<DispatchTask> ListAllTasksAsync(TaskFilter? filter = null, CancellationToken cancel = default) =>
        PagesAsync((cursor, stop) => ListTasksAsync(filter, cursor, stop), cancel);

    /// <summary>Cancels a task that is not final; its worker is told. A task that is cancelled already is returned as it stands.</summary>
    /// <exception cref="DispatchException"><c>task_state</c>: it has ended in another way.</exception>
    public async Task<DispatchTask> CancelTaskAsync(string id, CancellationToken cancel = default)
    {
        try
        {
            return await PatchTaskAsync(id, new TaskPatch { Status = TaskState.Cancelled }, cancel);
        }
        catch (DispatchException refused) when (refused.Code == "task_state")
        {
            // The answer to an earlier attempt of this very call may have been lost.
            var task = await GetTaskAsync(id, cancel: cancel);
            if (task.Status == TaskState.Cancelled)
                return task;
            throw;
        }
    }

    /// <summary>Cancels, changes the context of, or re-queues a task.</summary>
    public Task<DispatchTask> PatchTaskAsync(string id, TaskPatch patch, CancellationToken cancel = default) =>
        ReadAsync(new Call(HttpMethod.Patch, connection.At(Tasks.Segment(id)), Repeating.Safe) { Body = Bytes(patch, WireJson.Default.TaskPatch) }, WireJson.Default.DispatchTask, cancel);

    /// <summary>The worker has begun.</summary>
    /// <param name="attempt">The attempt it was given; null: whichever the caller holds now.</param>
    public Task<DispatchTask> StartTaskAsync(string id, int? attempt = null, CancellationToken cancel = default) =>
        ReportAsync(id, "start", Bytes(new StartBody(attempt), WireJson.Default.StartBody), cancel);

    /// <summary>The worker is on its way. Also starts an assigned task, and renews its lease.</summary>
    /// <inheritdoc cref="StartTaskAsync"/>
    public Task<DispatchTask> ReportProgressAsync(string id, TaskProgress progress, int? attempt = null, CancellationToken cancel = default) =>
        ReportAsync(id, "progress", Bytes(new ProgressBody(progress.Percent, progress.Message, progress.Data, attempt), WireJson.Default.ProgressBody), cancel);

    /// <summary>The worker succeeded. Saying so again changes nothing.</summary>
    /// <param name="model">The model that was used; null: the one of the task's estimate.</param>
    /// <inheritdoc cref="StartTaskAsync"/>
    public Task<DispatchTask> CompleteTaskAsync(
        string id, JsonElement? result = null, JsonElement? usage = null, int? attempt = null, string? model = null, CancellationToken cancel = default) =>
        ReportAsync(id, "complete", Bytes(new CompleteBody(result, usage, model, attempt), WireJson.Default.CompleteBody), cancel);

    /// <summary>The worker failed. The task goes back to the queue while it has retries left and <paramref name="retryable"/> is not false.</summary>
    /// <param name="model">The model that was used; null: the one of the task's estimate.</param>
    /// <inheritdoc cref="StartTaskAsync"/>
    public Task<DispatchTask> FailTaskAsync(
        string id, string error, bool retryable = true, TimeSpan? retryAfter = null, JsonElement? usage = null, int? attempt = null, string? model = null,
        CancellationToken cancel = default) =>
        ReportAsync(id, "fail", Bytes(new FailBody(error, retryable, retryAfter, usage, model, attempt), WireJson.Default.FailBody), cancel);

    /// <summary>The worker hands it back unworked; costs no attempt.</summary>
    /// <inheritdoc cref="StartTaskAsync"/>
    public Task<DispatchTask> ReleaseTaskAsync(string id, int? attempt = null, CancellationToken cancel = default) =>
        ReportAsync(id, "release", Bytes(new StartBody(attempt), WireJson.Default.StartBody), cancel);

    /// <summary>Puts a failed, timed-out or cancelled task back into the queue with fresh attempts. For its requester, or an admin.</summary>
    public Task<DispatchTask> RetryTaskAsync(string id, CancellationToken cancel = default) =>
        ReadAsync(Post(Tasks.Segment(id).Then("retry"), Repeating.OnlyIfUntouched), WireJson.Default.DispatchTask, cancel);

    /// <summary>Why a task went where it went, or why it still waits.</summary>
    public Task<TaskExplanation> ExplainTaskAsync(string id, CancellationToken cancel = default) =>
        ReadAsync(Get(Tasks.Segment(id).Then("explain")), WireJson.Default.TaskExplanation, cancel);

    /// <summary>Everything that happened to a task, oldest first.</summary>
    public Task<IReadOnlyList<TaskEvent>> GetTaskHistoryAsync(string id, CancellationToken cancel = default) =>
        ReadAsync(Get(Tasks.Segment(id).Then("events")), WireJson.Default.IReadOnlyListTaskEvent, cancel);

    private Task<DispatchTask> ReportAsync(string id, string what, byte[] body, CancellationToken cancel) =>
        ReadAsync(Post(Tasks.Segment(id).Then(what), Repeating.Safe) with { Body = body }, WireJson.Default.DispatchTask, cancel);

    private NewTask WithKey(NewTask task) => IsNamed(task) || !Options.GenerateIdempotencyKeys
        ? task
        : task with { IdempotencyKey = Guid.CreateVersion7().ToString("N") };

    private static bool IsNamed(NewTask task) => task.Id is not null || task.IdempotencyKey is not null;

    private static long? Milliseconds(TimeSpan wait) => wait > TimeSpan.Zero ? (long)wait.TotalMilliseconds : null;

    private static async IAsyncEnumerable<DispatchTask> PagesAsync(
        Func<string?, CancellationToken, Task<TaskPage>> read, [EnumeratorCancellation] CancellationToken cancel)
    {
        string? cursor = null;
        do
        {
            var page = await read(cursor, cancel);
            foreach (var task in page.Tasks)
                yield return task;
            cursor = page.NextCursor;
        }
        while (cursor is not null);
    }
}
