using System.Buffers;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>The routes below /api/v1/tasks.</summary>
internal sealed class TaskEndpoints(
    Sequencer sequencer, IStore store, LiveConfig config, TaskWatch watch, WorkConnections connections, TimeProvider clock, CancellationToken stopping)
{
    private const int MaxWaitMs = 60_000;
    private const int MaxHistory = 10_000;

    // Facts go out of date only when more than a window's worth of tasks ends between a read and its decision.
    private const int FactReads = 10;

    private readonly TaskSight sight = new(config.Current.Auth.EffectiveVisibility);

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/tasks", SubmitAsync);
        routes.MapRead("/api/v1/tasks", ListAsync).Takes(TaskQueryReader.Known);
        routes.MapRead("/api/v1/tasks/{id}", GetAsync).Takes("wait_ms");
        routes.MapPatch("/api/v1/tasks/{id}", PatchAsync);
        routes.MapPost("/api/v1/tasks/{id}/start", http => ReportAsync(http, ReportReader.Started));
        routes.MapPost("/api/v1/tasks/{id}/progress", http => ReportAsync(http, ReportReader.Progress));
        routes.MapPost("/api/v1/tasks/{id}/complete", http => ReportAsync(http, ReportReader.Completed));
        routes.MapPost("/api/v1/tasks/{id}/fail", http => ReportAsync(http, ReportReader.Failed));
        routes.MapPost("/api/v1/tasks/{id}/release", http => ReportAsync(http, ReportReader.Released));
        routes.MapPost("/api/v1/tasks/{id}/retry", RetryAsync);
        routes.MapRead("/api/v1/tasks/{id}/explain", ExplainAsync);
        routes.MapRead("/api/v1/tasks/{id}/events", HistoryAsync);
    }

    private async Task SubmitAsync(HttpContext http)
    {
        var caller = http.Caller();
        bool isArray;
        NewTask[] tasks;
        using (var body = await JsonBody.ReadAsync(http))
        {
            if (!body.HasRoot)
                throw JsonBody.Refuse("The body is empty; send a task, or an array of tasks.");
            isArray = body.Root.ValueKind == JsonValueKind.Array;
            tasks = TaskReader.Read(body.Root, caller.Agent, (long)config.Current.Assignment.DefaultTimeout.TotalMilliseconds, clock.GetUtcNow().ToUnixTimeMilliseconds());
        }

        var (ids, keys) = References(tasks, caller.Agent);
        for (var read = 0; read < FactReads; read++)
        {
            var facts = ids.Count + keys.Count == 0 ? null : await store.FindFactsAsync(ids, keys, http.RequestAborted);
            if (facts is not null && sight.Limit(caller) is not null)
                RefuseUnseen(tasks, facts, caller, isArray);
            var outcome = await sequencer.ExecuteAsync(new SubmitTasks(tasks, facts) { Caller = caller.Agent, ByAdmin = caller.IsAdmin });
            switch (outcome)
            {
                case SubmitOutcome.NeedsFacts:
                    continue;
                case SubmitOutcome.Accepted accepted:
                    await AnswerSubmittedAsync(http, accepted.Tasks, isArray);
                    return;
                case SubmitOutcome.Mismatch mismatch:
                    var key = tasks[mismatch.Index].Spec.IdempotencyKey;
                    throw Refuse(ErrorCode.IdempotencyMismatch, $"The idempotency key '{key}' was used for another request: task {mismatch.Existing}.", mismatch.Index, "idempotency_key", isArray);
                case SubmitOutcome.IdTaken taken:
                    throw Refuse(ErrorCode.TaskExists, $"Another task has the id {taken.Id}.", taken.Index, "id", isArray);
                case SubmitOutcome.BadReference bad:
                    throw Refuse(ErrorCode.Validation, bad.Problem, bad.Index, bad.Member, isArray);
            }
        }

        throw Overrun();
    }

    // To depend on a task is to learn how it ends: whoever may not see it is told what a wrong id is told.
    private void RefuseUnseen(NewTask[] tasks, StoreFacts facts, Caller caller, bool isArray)
    {
        bool IsUnseen(TaskId id) => facts.Tasks.TryGetValue(id, out var stored) && !sight.Sees(caller, stored.Task);

        for (var i = 0; i < tasks.Length; i++)
        {
            for (var d = 0; d < tasks[i].DependsOn.Length; d++)
            {
                if (IsUnseen(tasks[i].DependsOn[d]))
                    throw Refuse(ErrorCode.Validation, $"There is no task {tasks[i].DependsOn[d]}.", i, $"depends_on[{d}]", isArray);
            }

            if (tasks[i].Parent is { } parent && IsUnseen(parent))
                throw Refuse(ErrorCode.Validation, $"There is no task {parent}.", i, "parent_id", isArray);
        }
    }

    private static (List<TaskId> Ids, List<IdempotencyKey> Keys) References(NewTask[] tasks, string caller)
    {
        List<TaskId> ids = [];
        List<IdempotencyKey> keys = [];
        foreach (var task in tasks)
        {
            if (task.Id is { } id)
                ids.Add(id);
            if (task.Parent is { } parent)
                ids.Add(parent);
            ids.AddRange(task.DependsOn);
            if (task.Spec.IdempotencyKey is { } key)
                keys.Add(new IdempotencyKey(caller, key));
        }

        return (ids, keys);
    }

    private async Task AnswerSubmittedAsync(HttpContext http, SubmittedTask[] submitted, bool isArray)
    {
        var anyNew = false;
        var stored = new StoredTask[submitted.Length];
        for (var i = 0; i < submitted.Length; i++)
        {
            anyNew |= submitted[i].IsNew;
            stored[i] = submitted[i] is { Task: { } task, Spec: { } spec }
                ? new StoredTask(task, spec, null)
                : await store.FindTaskAsync(submitted[i].Id, http.RequestAborted) ?? throw new InvalidOperationException($"Task {submitted[i].Id} was accepted and is not in the store.");
        }

        var status = anyNew ? StatusCodes.Status201Created : StatusCodes.Status200OK;
        if (isArray)
        {
            await http.WriteJsonAsync(status, stored, WriteArray, isLarge: stored.Length > 64);
            return;
        }

        http.Response.Headers.Location = "/api/v1/tasks/" + stored[0].Task.Id;
        await http.WriteJsonAsync(status, stored[0], TaskWriter.Write);
    }

    private async Task ListAsync(HttpContext http)
    {
        var query = TaskQueryReader.Read(http, sight.Limit(http.Caller()));
        await AnswerPageAsync(http, query, await store.ListTasksAsync(query with { Limit = query.Limit + 1 }, http.RequestAborted));
    }

    /// <summary>Answers with up to the query's limit of the tasks, and with a link to the next page when there are more.</summary>
    internal static Task AnswerPageAsync(HttpContext http, TaskQuery query, IReadOnlyList<StoredTask> found)
    {
        IReadOnlyList<StoredTask> page = found;
        if (found.Count > query.Limit)
        {
            page = found.Take(query.Limit).ToArray();
            http.Response.Headers.Link = $"<{TaskQueryReader.NextPage(http.Request, page[^1].Task.Number)}>; rel=\"next\"";
        }

        return http.WriteJsonAsync(StatusCodes.Status200OK, page, WriteArray, isLarge: true);
    }

    private static void WriteArray(Utf8JsonWriter json, IReadOnlyList<StoredTask> tasks)
    {
        json.WriteStartArray();
        foreach (var task in tasks)
            TaskWriter.Write(json, task);
        json.WriteEndArray();
    }

    private async Task GetAsync(HttpContext http)
    {
        var id = Id(http);
        var faults = new Faults();
        http.RefuseUnknownQuery(faults);
        var wait = TimeSpan.FromMilliseconds(QueryValue.Number(http.Request, "wait_ms", 0, MaxWaitMs, 0, faults));
        faults.ThrowIfAny();
        var stored = wait == TimeSpan.Zero ? await FindAsync(http, id) : await WaitAsync(http, id, wait);
        var attempts = await store.ListAttemptsAsync(stored.Task.Number, http.RequestAborted);
        await http.WriteJsonAsync(StatusCodes.Status200OK, (stored, attempts), static (json, found) =>
            TaskWriter.Write(json, found.stored.Task, found.stored.Spec, found.stored.Result, found.attempts, 0));
    }

    private async Task<StoredTask> WaitAsync(HttpContext http, TaskId id, TimeSpan wait)
    {
        var began = clock.GetTimestamp();
        using var ended = watch.Expect(id);
        while (true)
        {
            // Heard before the read: an end in between is not missed, and one that the read finds undone (put back at once) is not heard again.
            var heard = ended.Bell.Rings;
            var stored = await FindAsync(http, id);
            var left = wait - clock.GetElapsedTime(began);
            if (stored.Task.IsFinal || left <= TimeSpan.Zero || stopping.IsCancellationRequested)
                return stored;
            await ended.Bell.WaitAsync(heard, left, clock, http.RequestAborted, stopping);
        }
    }

    private async Task PatchAsync(HttpContext http)
    {
        var caller = http.Caller();
        var id = Id(http);
        PatchRequest wanted;
        using (var body = await JsonBody.ReadAsync(http))
            wanted = PatchRequest.Read(body);

        if (wanted.Cancel)
        {
            var cancelled = await sequencer.ExecuteAsync(new CancelTask(id, wanted.Reason ?? $"cancelled by {(caller.IsAdmin ? "admin" : caller.Agent)}")
            {
                Caller = caller.Agent,
                ByAdmin = caller.IsAdmin,
            });
            await AnswerChangedAsync(http, id, cancelled, "cancelled", repeatOf: TaskState.Cancelled);
            return;
        }

        for (var read = 0; read < FactReads; read++)
        {
            StoredTask? before = null;
            JsonBytes? context = null;
            if (wanted.Context is not null)
            {
                before = await FindAsync(http, id);
                context = MergePatch.Apply(before.Spec.Context, wanted.Context);
                var most = config.Current.Limits.BodyBytes;
                if (context.Length > most)
                    throw Refuse(ErrorCode.Validation, $"the merged context would be {context.Length} bytes; at most {most} are allowed", 0, "context", isArray: false);
            }

            var outcome = await sequencer.ExecuteAsync(new PatchTask(id, wanted.Priority, context, before) { Caller = caller.Agent, ByAdmin = caller.IsAdmin });
            if (outcome is ChangeOutcome.NeedsFacts)
                continue;
            await AnswerChangedAsync(http, id, outcome, "changed", repeatOf: null);
            return;
        }

        throw Overrun();
    }

    private async Task RetryAsync(HttpContext http)
    {
        var id = Id(http);
        await JsonBody.IgnoreAsync(http);
        var outcome = await Redrive.RetryAsync(sequencer, store, id, http.Caller(), http.RequestAborted);
        await AnswerChangedAsync(http, id, outcome, "retried", repeatOf: null);
    }

    private async Task AnswerChangedAsync(HttpContext http, TaskId id, ChangeOutcome outcome, string verb, TaskState? repeatOf)
    {
        switch (outcome)
        {
            case ChangeOutcome.Changed { Spec: { } spec } changed:
                Demand(http, sight.Sees(http.Caller(), changed.Task), id);
                await http.WriteJsonAsync(StatusCodes.Status200OK, new StoredTask(changed.Task, spec, null), TaskWriter.Write);
                return;
            case ChangeOutcome.Changed:
                await http.WriteJsonAsync(StatusCodes.Status200OK, await FindAsync(http, id), TaskWriter.Write);
                return;
            case ChangeOutcome.Forbidden:
                await FindAsync(http, id);
                throw new ProblemException(new Problem(ErrorCode.Forbidden, $"Only the requester of task {id}, its owner and an admin may change it."));
            case ChangeOutcome.WrongState wrong:
                await FindAsync(http, id);
                throw WrongState(id, wrong.State, verb);
            case ChangeOutcome.NotLive:
                var stored = await FindAsync(http, id);
                if (stored.Task.Status != repeatOf)
                    throw WrongState(id, stored.Task.Status, verb);
                await http.WriteJsonAsync(StatusCodes.Status200OK, stored, TaskWriter.Write);
                return;
            default:
                throw Overrun();
        }
    }

    private async Task ReportAsync(HttpContext http, ReportReader reader)
    {
        var caller = http.Caller();
        var id = Id(http);
        TaskReport report;
        using (var body = await JsonBody.ReadAsync(http))
        {
            var faults = new Faults();
            report = reader.Read(body.HasRoot ? body.Root : null, http.Request, id, faults);
            faults.ThrowIfAny();
        }

        var outcome = await sequencer.ExecuteAsync(new ReportTask(report) { Caller = caller.Agent, ByAdmin = caller.IsAdmin });
        connections.Saw(http, caller.Agent);
        if (outcome is { Verdict: ReportVerdict.Accepted or ReportVerdict.Unchanged, Task: { IsFinal: false } task, Spec: { } spec })
        {
            await http.WriteJsonAsync(StatusCodes.Status200OK, new StoredTask(task, spec, null), TaskWriter.Write);
            return;
        }

        var stored = await FindAsync(http, id);
        var reporter = caller.IsAdmin ? stored.Task.LastAgent ?? caller.Agent : caller.Agent;
        var verdict = outcome.Verdict == ReportVerdict.NotLive ? Reporting.WhyNot(stored.Task, report, reporter) : outcome.Verdict;
        switch (verdict)
        {
            case ReportVerdict.Accepted or ReportVerdict.Unchanged:
                await http.WriteJsonAsync(StatusCodes.Status200OK, stored, TaskWriter.Write);
                return;
            case ReportVerdict.Foreign:
                throw new ProblemException(new Problem(ErrorCode.Forbidden, $"Task {id} is held by another agent; only its assignee may report on it."));
            default:
                var given = report.Attempt is { } attempt ? $"attempt {attempt}" : "a report without an attempt";
                if (report.Attempt is null or 0 || (stored.Task.IsFinal && report.Attempt == stored.Task.Attempt))
                    throw WrongState(id, stored.Task.Status, "reported on");
                throw new ProblemException(new Problem(ErrorCode.StaleAttempt, $"Task {id} is at attempt {stored.Task.Attempt} ({TaskWriter.Word(stored.Task.Status)}); {given} is no longer wanted."));
        }
    }

    private async Task ExplainAsync(HttpContext http)
    {
        var id = Id(http);
        var stored = await FindAsync(http, id);
        var explained = await sequencer.ExecuteAsync(new ExplainTask(id) { Caller = http.Caller().Agent })
            ?? new Matching.Explanation(stored.Task, Matching.WaitReason.Final, $"Ended as {TaskWriter.Word(stored.Task.Status)}.", [], []);
        await http.WriteJsonAsync(StatusCodes.Status200OK, explained, TaskWriter.WriteExplanation);
    }

    private async Task HistoryAsync(HttpContext http)
    {
        var stored = await FindAsync(http, Id(http));
        var events = await store.ListHistoryAsync(stored.Task.LastSequence, MaxHistory, http.RequestAborted);
        await http.WriteJsonAsync(StatusCodes.Status200OK, events, static (json, list) =>
        {
            json.WriteStartArray();
            for (var i = 0; i < list.Count; i++)
                TaskWriter.WriteEvent(json, list[i], isTruncated: i == 0 && list[i].Previous != 0);
            json.WriteEndArray();
        });
    }

    /// <summary>The task, if there is one that the caller may see.</summary>
    private async Task<StoredTask> FindAsync(HttpContext http, TaskId id)
    {
        var stored = await store.FindTaskAsync(id, http.RequestAborted);
        Demand(http, stored is not null && sight.Sees(http.Caller(), stored.Task), id);
        return stored!;
    }

    private static void Demand(HttpContext http, bool found, TaskId id)
    {
        if (!found)
            throw NotFound(id.ToString());
    }

    private static TaskId Id(HttpContext http)
    {
        var text = (string)http.GetRouteValue("id")!;
        return TaskId.TryParse(text, out var id) ? id : throw NotFound(text);
    }

    internal static ProblemException NotFound(string id) => new(new Problem(ErrorCode.TaskNotFound, $"There is no task {Excerpt.Of(id, 64)}."));

    private static ProblemException WrongState(TaskId id, TaskState state, string verb) =>
        new(new Problem(ErrorCode.TaskState, $"Task {id} is {TaskWriter.Word(state)} and can't be {verb}."));

    private static ProblemException Refuse(ErrorCode code, string detail, int index, string member, bool isArray)
    {
        var field = isArray ? $"tasks[{index}].{member}" : member;
        return new ProblemException(new Problem(code, $"{field}: {detail}") { Errors = [new FieldFault(field, detail)] });
    }

    internal static ProblemException Overrun() =>
        new(new Problem(ErrorCode.Busy, "The task changed faster than it could be read. Try again.") { RetryAfterSeconds = 1 });
}
