using System.Buffers;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Questions;
using Dispatch.Sequencing;

namespace Dispatch.Tasks;

/// <summary>Answers the question whether a task may be given out; like <see cref="AnswerQuestion"/>, with what it takes to change the task's words.</summary>
/// <param name="Answer">Its replacement may have the members that <see cref="Confirmation.Read"/> takes.</param>
/// <param name="Base">The task as read from the store.</param>
public sealed record ConfirmTask(AnswerQuestion Answer, StoredTask? Base) : Command<AnswerOutcome>
{
    public override AnswerOutcome Decide(State state, Decision decision)
    {
        if (state.Questions.Find(Answer.Question) is { IsOfTask: true } question
            && Answer.Settles(state, question, decision.Now) is { Outcome: Verdict.Modify } && Confirmation.TaskOf(state, question) is { Spec: null } entry)
        {
            if (Base?.Task.LastSequence != entry.Task.LastSequence)
                return new AnswerOutcome.NeedsFacts();
            state.Tasks.RestoreSpec(entry, Base.Spec);
        }

        return Answer.Decide(state, decision);
    }
}

/// <summary>What a confirmation may change in a task; null leaves it as it is.</summary>
public sealed record TaskChange(string? Title, string? Description, JsonBytes? Context, byte? Priority);

/// <summary>A task that was submitted with <c>confirm</c> waits for its question to be settled as it waits for a dependency.</summary>
public static class Confirmation
{
    // A person decides by it; whoever needs all of a large one reads the task.
    private const int MaxContext = 16 << 10;

    /// <summary>The members that a replacement may have: title, description, context (the whole new one), priority. Checked at the edge.</summary>
    public static TaskChange Read(JsonBytes replacement)
    {
        using var document = JsonDocument.Parse(replacement.Memory);
        var root = document.RootElement;
        return new TaskChange(
            root.TryGetProperty("title"u8, out var title) ? title.GetString() : null,
            root.TryGetProperty("description"u8, out var description) ? description.GetString() : null,
            root.TryGetProperty("context"u8, out var context) ? JsonBytes.From(context) : null,
            root.TryGetProperty("priority"u8, out var priority) ? priority.GetByte() : null);
    }

    internal static TaskEntry? TaskOf(State state, Question question) =>
        question.IsOfTask && TaskId.TryParse(question.About, out var id) && state.Tasks.Find(id) is { Task.IsFinal: false } entry ? entry : null;

    internal static void Ask(State state, Decision decision, WorkTask task, TaskSpec spec)
    {
        var expires = decision.Now + state.Options.QuestionTimeoutMs;
        if (task.Deadline > 0)
            expires = Math.Min(expires, task.Deadline);
        AskQuestion.Raise(
            state, decision, Question.TaskConfirmation, task.Id.ToString(), task.Session, task.Requester, Proposal(task, spec), Verdict.Deny, expires);
    }

    /// <summary>The task is over before it was confirmed: nobody needs to answer any more.</summary>
    internal static void Withdraw(State state, Decision decision, WorkTask task)
    {
        if (state.Questions.OpenCount > 0 && state.Questions.ConfirmationOf(task.Id.ToString()) is { } question)
            state.Questions.Raise(decision, question, new QuestionWithdrawn($"Task {task.Id} ended as {TaskEnding.Word(task.Status)}."));
    }

    /// <summary>Lets the tasks go whose questions were settled in this step, changed or not, or cancels them.</summary>
    internal static void FollowSettled(State state, Decision decision)
    {
        while (decision.Settled.TryDequeue(out var question))
        {
            if (TaskOf(state, question) is not { } entry)
                continue;

            decision.Cause = question.LastSequence;
            if (question.Outcome == Verdict.Deny)
            {
                decision.Raise(entry.Task, new TaskCancelled(question.Reason is { } reason ? $"Not confirmed: {reason}" : "Not confirmed."));
                decision.Ended.Enqueue(entry);
                continue;
            }

            TaskState? next = entry.Task.Status == TaskState.Blocked && entry.Unmet == 0 ? TaskState.Pending : null;
            var change = question.Replacement is { } replacement ? Read(replacement) : null;
            var priority = change?.Priority == entry.Task.Priority ? null : change?.Priority;
            if (next is not null || change is not null)
                decision.Raise(entry.Task, new TaskUpdated("confirmed", next, priority, change?.Context, change?.Title, change?.Description));
        }

        decision.Cause = 0;
    }

    /// <summary>The task in short: title, description, priority, requester, capabilities, and its context unless that is large.</summary>
    private static JsonBytes Proposal(WorkTask task, TaskSpec spec)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer, EventData.WriterOptions))
        {
            json.WriteStartObject();
            json.WriteString("title"u8, spec.Title);
            if (spec.Description is { } description)
                json.WriteString("description"u8, description);
            json.WriteNumber("priority"u8, task.Priority);
            json.WriteString("requester"u8, task.Requester);
            if (task.Needs.Required.Length > 0)
            {
                json.WriteStartArray("required_capabilities"u8);
                foreach (var capability in task.Needs.Required)
                    json.WriteStringValue(capability);
                json.WriteEndArray();
            }

            if (spec.Context is { Length: <= MaxContext } context)
            {
                json.WritePropertyName("context"u8);
                json.WriteRawValue(context.Span, skipInputValidation: true);
            }
            else if (spec.Context is { } large)
            {
                json.WriteNumber("context_bytes"u8, large.Length);
            }

            json.WriteEndObject();
        }

        return new JsonBytes(buffer.WrittenSpan.ToArray());
    }
}
