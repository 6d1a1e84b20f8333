using System.Globalization;
using System.Text;
using Dispatch.Events;
using Dispatch.Simulation.Checks;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Actors;

/// <summary>
/// Submits tasks of all kinds, repeats what it has no answer to, changes its mind, and keeps a record of what it was told.
/// </summary>
internal sealed class Requester(Universe universe, string name, Random random)
{
    /// <summary>The longest timeout it asks for. Milliseconds.</summary>
    public const int LongestRunMs = 20_000;

    /// <summary>How far ahead it plans. Milliseconds.</summary>
    public const int FarthestMs = 8_000;

    private readonly List<Submission> mine = [];
    private readonly List<Submission> keyed = [];

    public async Task RunAsync()
    {
        while (universe.TakeOperation())
        {
            await universe.DelayAsync(random.NextDouble() * random.Pick([2, 50, 600]));
            var weather = universe.Weather;
            var interferes = weather.PeopleInterfere ? 1 : 0;
            switch (random.Weighted([10, 5, weather.KeysAreUsed ? 4 : 0, 3 * interferes, 3 * interferes, 3 * interferes, interferes]))
            {
                case 0:
                    await SubmitOneAsync();
                    break;
                case 1:
                    await SubmitManyAsync();
                    break;
                case 2:
                    await RepeatAsync();
                    break;
                case 3:
                    await CancelAsync();
                    break;
                case 4:
                    await PatchAsync();
                    break;
                case 5:
                    await RetryAsync();
                    break;
                case 6:
                    await universe.Edge.ExecuteAsync(new ExplainTask(Known()) { Caller = name });
                    break;
            }
        }
    }

    private async Task SubmitOneAsync()
    {
        var submission = universe.Ledger.Submit(name, number => Draw(number, random.Chance(0.15) ? NewId() : null));
        if (universe.Weather.TasksDepend && random.Chance(0.3) && universe.Known.Count > 0)
            submission = Replace(submission, submission.Task with { DependsOn = [Known()], Parent = random.Chance(0.3) ? Known() : null });
        else if (universe.Weather.WorkIsLimited && random.Chance(0.3) && universe.Known.Count > 0)
            submission = Replace(submission, submission.Task with { Parent = Known() });
        mine.Add(submission);
        if (submission.Task.Spec.IdempotencyKey is not null)
            keyed.Add(submission);
        await SendAsync([submission], mustBeRefused: false);
    }

    /// <summary>Several at once, with references to each other in either direction; now and then in a circle, or to nowhere.</summary>
    private async Task SubmitManyAsync()
    {
        var count = random.Next(2, 7);
        var ids = Enumerable.Range(0, count).Select(_ => NewId()).ToArray();
        var refers = universe.Weather.TasksDepend;
        var circle = refers && random.Chance(0.1);
        var nowhere = refers && !circle && random.Chance(0.1);
        var bulk = new List<Submission>();
        for (var i = 0; i < count; i++)
        {
            var dependencies = refers && i > 0 && random.Chance(0.6) ? new[] { ids[random.Next(i)] } : [];
            if (circle && i == 0)
                dependencies = [ids[count - 1]];
            if (circle && i == count - 1)
                dependencies = [ids[0]];
            if (nowhere && i == count - 1)
                dependencies = [NewId()];
            TaskId? parent = universe.Weather.WorkIsLimited && i > 0 && random.Chance(0.4) ? ids[random.Next(i)] : null;
            bulk.Add(universe.Ledger.Submit(name, number => Draw(number, ids[i]) with { DependsOn = dependencies, Parent = parent }));
        }

        // Sent in another order than they depend on each other in.
        if (refers && random.Chance(0.5))
        {
            bulk.Reverse();
            universe.Reached(Situation.ForwardReference);
        }

        var keyTwice = false;
        if (bulk.TrueForAll(submission => submission.Task.Spec.IdempotencyKey is null))
            universe.Ledger.Bundle(bulk);
        else if (keyTwice = random.Chance(0.1))
            bulk[^1] = Replace(bulk[^1], WithKey(bulk[^1].Task, bulk.Find(submission => submission.Task.Spec.IdempotencyKey is not null)!.Task.Spec.IdempotencyKey!));
        keyTwice &= bulk.Count(submission => submission.Task.Spec.IdempotencyKey == bulk[^1].Task.Spec.IdempotencyKey) > 1;

        mine.AddRange(bulk);
        keyed.AddRange(bulk.Where(submission => submission.Task.Spec.IdempotencyKey is not null && !keyTwice));
        await SendAsync(bulk, circle || nowhere || keyTwice);
        if (keyTwice)
            universe.Reached(Situation.KeyTwiceInRequest);
    }

    /// <summary>Sends what it has sent before again: it must be told of the same task, or that the key means another.</summary>
    private async Task RepeatAsync()
    {
        var own = mine.FindAll(submission => submission is { Task: { Id: not null, Spec.IdempotencyKey: null }, IsBundled: false });
        if (own.Count > 0 && random.Chance(0.3))
        {
            var known = random.Pick(own);
            if (random.Chance(0.3))
            {
                await TakeIdAsync(known);
                return;
            }

            universe.Reached(Situation.OwnIdRepeated);
            await SendAsync([known], mustBeRefused: false);
            return;
        }

        if (keyed.Count == 0)
            return;
        var submission = random.Pick(keyed);
        if (random.Chance(0.2))
            await MisuseKeyAsync(submission);
        else if (submission.Task.Id is { } id && random.Chance(0.4))
            await AddToAsync(submission, id);
        else
            await SendAsync([submission], mustBeRefused: false);
    }

    /// <summary>The same again, and with it something new that refers to it.</summary>
    private async Task AddToAsync(Submission known, TaskId id)
    {
        var added = universe.Ledger.Submit(name, number => Draw(number, null) with { DependsOn = [id] });
        mine.Add(added);
        if (added.Task.Spec.IdempotencyKey is not null)
            keyed.Add(added);
        universe.Reached(Situation.RepeatWithSomethingNew);
        await SendAsync(random.Chance(0.5) ? [known, added] : [added, known], mustBeRefused: false);
    }

    private async Task SendAsync(IReadOnlyList<Submission> submissions, bool mustBeRefused)
    {
        var before = submissions.Select(submission => new Before(submission.Open > 0, submission.Created.Count > 0, submission.Created.Count > 0 && universe.Ledger.WasRemoved(submission.Created[^1]))).ToArray();
        foreach (var submission in submissions)
        {
            submission.Open++;
            if (submission.Task.Id is { } id && random.Chance(0.5))
                universe.Known.Add(id);
        }

        var reply = await universe.Edge.SubmitAsync(name, [.. submissions.Select(submission => submission.Task)]);
        universe.Trace.Add("client.submitted", name, reply.Value?.GetType().Name ?? reply.Certainty.ToString(), submissions.Count);
        if (reply.Certainty == Certainty.Unknown)
            return;
        foreach (var submission in submissions)
            submission.Open--;
        if (!reply.IsAnswered)
            return;
        switch (reply.Value)
        {
            case SubmitOutcome.Accepted accepted:
                if (mustBeRefused)
                    universe.Fail("I-10", $"A request of {name} with a circle, a reference to nowhere or a key used twice was accepted.");
                for (var i = 0; i < submissions.Count; i++)
                    Note(submissions[i], accepted.Tasks[i], before[i]);
                break;
            case SubmitOutcome.BadReference { Member: "budget" } bad when !before[bad.Index].Existed:
                universe.Reached(Situation.BudgetUnderBudgetRefused);
                break;
            case SubmitOutcome.BadReference bad when mustBeRefused:
                universe.Reached(bad.Problem.Contains("circle", StringComparison.Ordinal) ? Situation.CircleRefused : Situation.MissingReferenceRefused);
                break;
            case SubmitOutcome.BadReference bad when before[bad.Index] is { Existed: true, WasRemoved: false } && !universe.Ledger.WasRemoved(submissions[bad.Index].Created[^1]):
                universe.Fail("I-3", $"A repeat of {name} is refused: {bad.Problem}");
                break;
            case SubmitOutcome.Mismatch mismatch:
                if (submissions[mismatch.Index].Created.Contains(mismatch.Existing))
                    universe.Fail("I-3", $"A repeat of {name} with the same body is called another request.");
                break;
            case SubmitOutcome.IdTaken taken:
                if (universe.Disk.Find(taken.Id)?.Spec.Title == submissions[taken.Index].Task.Spec.Title)
                    universe.Fail("I-3", $"A repeat of {name} under its own id {taken.Id} is called another request.");
                break;
        }
    }

    private void Note(Submission submission, SubmittedTask answer, Before before)
    {
        universe.Ledger.Acknowledge(submission, answer.Id, answer.IsNew);
        universe.Known.Add(answer.Id);
        if (answer.IsNew)
        {
            if (before.WasOpen)
                universe.Reached(Situation.RepeatAfterUnknownCreated);
            if (before.WasRemoved)
                universe.Reached(Situation.RepeatOfRemovedKey);
            return;
        }

        if (before.WasRemoved && universe.Ledger.WasRemoved(answer.Id))
            universe.Fail("I-1", $"A repeat of {name} was answered with task {answer.Id}, which had been removed before it was sent.");
        universe.Reached(before.WasOpen ? Situation.RepeatAfterUnknownFoundExisting : Situation.RepeatFoundExisting);
        if (universe.Disk.Find(answer.Id) is { Task.IsFinal: true })
            universe.Reached(Situation.RepeatAfterTaskFinished);
    }

    private async Task MisuseKeyAsync(Submission submission)
    {
        var other = universe.Ledger.Submit(name, number => WithKey(Draw(number, null), submission.Task.Spec.IdempotencyKey!));
        other.Open++;
        var reply = await universe.Edge.SubmitAsync(name, [other.Task]);
        if (reply.Certainty == Certainty.Unknown)
            return;
        other.Open--;
        if (reply.Value is SubmitOutcome.Mismatch)
            universe.Reached(Situation.KeyMismatch);
        else if (reply.Value is SubmitOutcome.Accepted { Tasks: [{ IsNew: true } made] })
            universe.Ledger.Acknowledge(other, made.Id, isNew: true);
        else if (reply.IsAnswered)
            universe.Fail("I-3", $"Another request under a used key was answered with {reply.Value}.");
    }

    private async Task TakeIdAsync(Submission known)
    {
        var other = universe.Ledger.Submit(name, number => Draw(number, known.Task.Id));
        if (other.Task.Spec.IdempotencyKey is not null)
            return;
        other.Open++;
        var reply = await universe.Edge.SubmitAsync(name, [other.Task]);
        if (reply.Certainty == Certainty.Unknown)
            return;
        other.Open--;
        if (reply.Value is SubmitOutcome.IdTaken)
            universe.Reached(Situation.OwnIdTaken);
        else if (reply.Value is SubmitOutcome.Accepted { Tasks: [var made] })
            universe.Ledger.Acknowledge(other, made.Id, made.IsNew);
    }

    private async Task CancelAsync()
    {
        if (universe.Known.Count == 0)
            return;
        var id = Known();
        var task = universe.Disk.Find(id)?.Task;
        var kept = universe.Broker?.IsKeptForSleeper(id) ?? false;
        var reply = await universe.Edge.CancelAsync(random.Chance(0.7) ? task?.Requester ?? name : name, id);
        if (reply.Value is ChangeOutcome.Changed && task is { IsHeld: true })
            universe.Reached(Situation.CancelledWhileHeld);
        if (kept && reply.Value is ChangeOutcome.Changed)
            universe.Reached(Situation.CancelledWhileWaking);
    }

    private async Task PatchAsync()
    {
        if (universe.Known.Count == 0)
            return;
        var id = Known();
        var owner = universe.Disk.Find(id)?.Task.Requester ?? name;
        var context = random.Chance(0.5) ? new JsonBytes(Encoding.UTF8.GetBytes($"{{\"patched\":{random.Next(1000)}}}")) : null;
        byte? priority = context is null || random.Chance(0.5) ? (byte)random.Next(0, 11) : null;
        var reply = await universe.Edge.PatchAsync(owner, id, priority, context);
        if (reply.Value is not ChangeOutcome.Changed changed)
            return;
        if (context is not null)
            universe.Reached(Situation.PatchedContext);
        if (priority is not null && changed.Task.Status == TaskState.Pending)
            universe.Reached(Situation.PriorityRequeued);
    }

    private async Task RetryAsync()
    {
        if (universe.Known.Count == 0)
            return;
        var ended = universe.Known.FindAll(known => universe.Disk.Find(known) is { Task: { IsFinal: true, Status: not TaskState.Completed } });
        var id = ended.Count > 0 && random.Chance(0.8) ? random.Pick(ended) : Known();
        var reply = await universe.Edge.RetryAsync(random.Chance(0.5) ? null : universe.Disk.Find(id)?.Task.Requester ?? name, id);
        if (reply.Value is ChangeOutcome.Changed { Task: var task })
            universe.Reached(task.Status == TaskState.Cancelled ? Situation.RetriedAndCancelledAtOnce : Situation.RetriedByHand);
    }

    private NewTask Draw(int number, TaskId? id)
    {
        var title = "task " + number.ToString(CultureInfo.InvariantCulture);
        var now = universe.Now;
        var alike = universe.Weather.TasksAreAlike;
        var task = new NewTask
        {
            Id = id,
            Spec = new TaskSpec { Title = title, Context = random.Chance(0.3) ? new JsonBytes(Encoding.UTF8.GetBytes("{\"x\":\"" + new string('.', random.Next(60)) + "\"}")) : null },
            Required = alike ? [] : Worker.DrawCapabilities(random, random.Weighted([5, 4, 1])),
            Preferred = alike ? [] : Worker.DrawCapabilities(random, random.Weighted([6, 2, 1])),
            Owner = !alike && random.Chance(0.15) ? random.Pick(Worker.Owners) : null,
            Priority = (byte)random.Pick([5, 5, 0, 10, 8, 2]),
            TimeoutMs = random.Pick([400, 3_000, LongestRunMs]),
            MaxRetries = random.Pick([0, 1, 3]),
            RunAt = universe.Weather.TasksAreScheduled && random.Chance(0.3) ? now + random.Next(-500, FarthestMs) : null,
            Deadline = universe.Weather.TasksAreScheduled && random.Chance(0.15) ? now + random.Next(-100, 2 * FarthestMs) : null,
        };
        if (universe.Weather.KeysAreUsed && random.Chance(0.4))
            return WithKey(Limited(ToBeConfirmed(task)), "key " + number.ToString(CultureInfo.InvariantCulture));
        task = Limited(ToBeConfirmed(task));
        return id is null ? task : task with { BodyHash = Hash(task) };
    }

    private NewTask ToBeConfirmed(NewTask task) =>
        universe.Weather.TasksAreConfirmed && random.Chance(0.2) ? task with { Spec = task.Spec with { Confirm = true } } : task;

    /// <summary>With what it is expected to use, and what it and those below it may use at most.</summary>
    private NewTask Limited(NewTask task) => !universe.Weather.WorkIsLimited ? task : task with
    {
        Spec = task.Spec with
        {
            Estimate = random.Chance(0.6) ? Treasurer.DrawEstimate(random) : null,
            Labels = random.Chance(0.4) ? JsonBytes.Parse($"{{\"repo\":\"{random.Pick(Treasurer.Repos)}\"}}") : null,
            Budget = random.Chance(0.15) ? Treasurer.DrawBudget(random) : null,
        },
    };

    private Submission Replace(Submission submission, NewTask task)
    {
        submission.Task = task.BodyHash is null ? task : task with { BodyHash = Hash(task) };
        return submission;
    }

    private static NewTask WithKey(NewTask task, string key)
    {
        var made = task with { Spec = task.Spec with { IdempotencyKey = key } };
        return made with { BodyHash = Hash(made) };
    }

    private static string Hash(NewTask task) => SubmitTasks.HashBody(Encoding.UTF8.GetBytes($"{task.Id} {task.Spec.Title} {task.Spec.IdempotencyKey}"));

    private TaskId NewId() => new(random.NextGuid());

    private TaskId Known() => universe.Known.Count == 0 ? NewId() : random.Pick(universe.Known);

    /// <summary>How things stood when a request was sent.</summary>
    private readonly record struct Before(bool WasOpen, bool Existed, bool WasRemoved);
}
