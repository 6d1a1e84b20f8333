using System.Globalization;
using Dispatch.Events;
using Dispatch.Simulation.Disk;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Checks;

/// <summary>A task that a requester asked for, and what it knows of its fate.</summary>
internal sealed class Submission
{
    public required int Number { get; init; }

    public required string Requester { get; init; }

    public required NewTask Task { get; set; }

    /// <summary>Requests for it whose answer has not come yet, or never will.</summary>
    public int Open { get; set; }

    /// <summary>True when it was sent with others, all or none.</summary>
    public bool IsBundled { get; set; }

    /// <summary>The id it was acknowledged under.</summary>
    public TaskId? Acknowledged { get; set; }

    /// <summary>The ids of the tasks that the log has for it.</summary>
    public List<TaskId> Created { get; } = [];
}

/// <summary>
/// What the clients know: what they asked for, what they were told. It is held against the log, which is all that a broker leaves behind.
/// </summary>
internal sealed class Ledger(Universe universe)
{
    private readonly List<Submission> submissions = [];
    private readonly List<IReadOnlyList<Submission>> bulks = [];
    private readonly Dictionary<(TaskId Task, int Attempt), string> assigned = [];
    private readonly Dictionary<(TaskId Task, int Attempt), (AttemptOutcome Outcome, string Agent)> ended = [];
    private readonly Dictionary<int, (string Agent, TaskId Task, int? Attempt)> completions = [];
    private readonly HashSet<TaskId> removed = [];

    public IReadOnlyList<Submission> Submissions => submissions;

    public Submission Submit(string requester, Func<int, NewTask> task)
    {
        var submission = new Submission { Number = submissions.Count, Requester = requester, Task = task(submissions.Count) };
        submissions.Add(submission);
        return submission;
    }

    /// <summary>These go in one request, all or none.</summary>
    public void Bundle(IReadOnlyList<Submission> bulk)
    {
        bulks.Add(bulk);
        foreach (var submission in bulk)
            submission.IsBundled = true;
    }

    /// <summary>A result that a worker is about to report; its number goes with it.</summary>
    public JsonBytes Completing(string agent, TaskId task, int? attempt)
    {
        var number = completions.Count;
        completions.Add(number, (agent, task, attempt));
        return new JsonBytes([.. "{\"n\":"u8, .. System.Text.Encoding.UTF8.GetBytes(number.ToString(CultureInfo.InvariantCulture)), .. "}"u8]);
    }

    /// <summary>The requester was told that it has the task.</summary>
    public void Acknowledge(Submission submission, TaskId id, bool isNew)
    {
        submission.Acknowledged = id;
        if (!submission.Created.Contains(id))
            universe.Fail("I-1", $"Task {id} was acknowledged to {submission.Requester} for '{submission.Task.Spec.Title}' and is not in the log.");
        else if (isNew && submission.Created[^1] != id)
            universe.Fail("I-3", $"Task {id} was acknowledged as new, and the newest one for '{submission.Task.Spec.Title}' is {submission.Created[^1]}.");
    }

    public bool WasAssigned(TaskId task, int attempt, string agent) => assigned.GetValueOrDefault((task, attempt)) == agent;

    /// <summary>True when no attempt came after it.</summary>
    public bool IsLatest(TaskId task, int attempt) => !assigned.ContainsKey((task, attempt + 1));

    public bool WasRemoved(TaskId id) => removed.Contains(id);

    /// <summary>The worker was given the task.</summary>
    public void Granted(string agent, WorkTask task)
    {
        if (!assigned.TryGetValue((task.Id, task.Attempt), out var holder) || holder != agent)
            universe.Fail("I-4", $"Agent {agent} was given attempt {task.Attempt} of task {task.Id}, which the log gives to {holder ?? "nobody"}.");
    }

    /// <summary>The worker was told that its report counts.</summary>
    public void Accepted(string agent, TaskReport report)
    {
        if (report.Ends == AttemptOutcome.None)
            return;
        var found = report.Attempt is { } attempt
            ? ended.TryGetValue((report.Task, attempt), out var end) && end == (report.Ends, agent)
            : ended.Any(pair => pair.Key.Task == report.Task && pair.Value == (report.Ends, agent));
        if (!found)
            universe.Fail("I-6", $"{agent}'s report {report.Ends} on attempt {report.Attempt} of task {report.Task} was accepted and is not in the log.");
    }

    /// <summary>The log as it reaches the disk.</summary>
    public void Note(DispatchEvent happened)
    {
        switch (happened.Data)
        {
            case TaskCreated created:
                NoteCreated(Id(happened), created);
                break;
            case TaskAssigned e:
                assigned[(Id(happened), e.Attempt)] = e.Agent;
                break;
            case TaskCompleted e:
                ended[(Id(happened), e.Attempt)] = (AttemptOutcome.Completed, e.Agent);
                NoteCompleted(Id(happened), e);
                break;
            case TaskFailed e:
                ended[(Id(happened), e.Attempt)] = (AttemptOutcome.Failed, e.Agent);
                break;
            case TaskReleased e:
                ended[(Id(happened), e.Attempt)] = (AttemptOutcome.Released, e.Agent);
                break;
        }
    }

    public void NoteRemoved(IEnumerable<TaskId> ids) => removed.UnionWith(ids);

    /// <summary>The disk lost part of the log: only what is on it now counts.</summary>
    public void Forget()
    {
        assigned.Clear();
        ended.Clear();
        removed.Clear();
        foreach (var submission in submissions)
            submission.Created.Clear();
    }

    /// <summary>What must hold when nothing is under way any more.</summary>
    public void CheckAll(SimDisk disk)
    {
        foreach (var submission in submissions)
        {
            var title = submission.Task.Spec.Title;
            if (submission.Acknowledged is { } id && disk.Find(id) is null && !removed.Contains(id))
                universe.Fail("I-1", $"Task {id} ('{title}') was acknowledged and is gone.");
            if (submission.Acknowledged is null && submission.Open == 0 && submission.Created.Count > 0)
                universe.Fail("I-2", $"Task {submission.Created[0]} ('{title}') exists although every request for it was refused with nothing changed.");
            if (submission.Created.Distinct().Count(created => !removed.Contains(created)) > 1)
                universe.Fail("I-3", $"'{title}' exists {submission.Created.Count} times.");
        }

        foreach (var bulk in bulks)
        {
            var made = bulk.Count(submission => submission.Created.Count > 0);
            if (made != 0 && made != bulk.Count)
                universe.Fail("I-13", $"Of a request of {bulk.Count} tasks {made} were made.");
        }
    }

    private void NoteCreated(TaskId id, TaskCreated created)
    {
        var number = int.Parse(created.Title.AsSpan("task ".Length), CultureInfo.InvariantCulture);
        var submission = submissions[number];
        if (submission.Requester != created.Requester)
            universe.Fail("I-2", $"Task {id} is {submission.Requester}'s and was made for {created.Requester}.");
        if (submission.Task.Id is { } own && own != id)
            universe.Fail("I-2", $"Task {id} was asked for as {own}.");
        submission.Created.Add(id);
        removed.Remove(id);
    }

    private void NoteCompleted(TaskId id, TaskCompleted completed)
    {
        var text = completed.Result!.ToString();
        var number = int.Parse(text.AsSpan(5, text.Length - 6), CultureInfo.InvariantCulture);
        var (agent, task, attempt) = completions[number];
        if (task != id || agent != completed.Agent || (attempt ?? completed.Attempt) != completed.Attempt)
            universe.Fail("I-6", $"Attempt {completed.Attempt} of task {id}, held by {completed.Agent}, was completed by {agent}'s report on attempt {attempt} of task {task}.");
    }

    private static TaskId Id(DispatchEvent happened) => TaskId.TryParse(happened.Subject, out var id) ? id : throw new FormatException(happened.Subject);
}
