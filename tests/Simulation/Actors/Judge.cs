using Dispatch.Events;
using Dispatch.Questions;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Actors;

/// <summary>Asks, answers as two responders and as an admin, registers and removes the responders, takes questions back.</summary>
internal sealed class Judge(Universe universe, Random random)
{
    private static readonly string[] Responders = ["judge-0", "judge-1"];

    public async Task RunAsync()
    {
        while (universe.TakeOperation())
        {
            await universe.DelayAsync(random.NextDouble() * random.Pick([20, 400, 1_500]));
            switch (random.Weighted([2, 6, 1, 1]))
            {
                case 0:
                    await AskAsync();
                    break;
                case 1:
                    await AnswerAsync();
                    break;
                case 2:
                    await ManageAsync();
                    break;
                case 3:
                    await WithdrawAsync();
                    break;
            }
        }
    }

    private async Task AskAsync() => await universe.Edge.ExecuteAsync(new AskQuestion(
        "tool.run", "call", random.Chance(0.3) ? "session-0" : null, JsonBytes.EmptyObject, random.Chance(0.3) ? Verdict.Allow : Verdict.Deny, random.Next(50, 5_000))
    {
        Caller = "asker",
    });

    private async Task AnswerAsync()
    {
        if (Pick() is not { } question)
            return;
        var responder = random.Chance(0.3) ? null : random.Pick(Responders);
        var verdict = random.Pick([Verdict.Allow, Verdict.Allow, Verdict.Deny, Verdict.Modify, Verdict.Modify]);
        var replacement = verdict != Verdict.Modify ? null
            : question.IsOfTask ? JsonBytes.Parse(random.Pick(["{\"priority\":9}", "{\"context\":{\"changed\":true},\"description\":\"as the judge wants it\"}"]))
            : JsonBytes.Parse("{\"command\":\"ls\"}");
        var answer = new AnswerQuestion(question.Id, verdict, random.Chance(0.3) ? "because" : null, replacement) { Caller = responder, ByAdmin = responder is null };

        // Its requester may change it at the same moment: what the answer was read for is then out of date.
        var patching = replacement is not null && question.IsOfTask && random.Chance(0.6) && TaskId.TryParse(question.About, out var task)
            ? universe.Edge.PatchAsync(question.Asker, task, (byte)random.Next(10), null) : null;
        var reply = await universe.Edge.AnswerAsync(answer, question);
        if (patching is not null)
            await patching;
        if (reply is not { IsAnswered: true, Value: { } outcome })
            return;
        if (outcome is AnswerOutcome.Counted { Question: { Outcome: { } settled, IsOfTask: true } })
            universe.Reached(settled switch { Verdict.Deny => Situation.TaskDenied, Verdict.Modify => Situation.TaskChangedByConfirmation, _ => Situation.TaskConfirmed });
        if (outcome is AnswerOutcome.Counted { Question.IsOpen: true })
        {
            universe.Reached(Situation.OthersAwaited);
            if (await universe.Edge.AnswerAsync(answer with { Reason = "again" }, question) is { IsAnswered: true, Value: AnswerOutcome.Repeated })
                universe.Reached(Situation.AnsweredTwice);
        }
    }

    private async Task ManageAsync()
    {
        var id = random.Pick(Responders);
        if (random.Chance(0.5))
            await universe.Edge.ExecuteAsync(new RemoveResponder(id) { ByAdmin = true });
        else
            await universe.Edge.ExecuteAsync(new RegisterResponder(id, random.Pick<string[]>([["tool.*"], ["*"], ["task.confirmation"]])) { ByAdmin = true });
    }

    private async Task WithdrawAsync()
    {
        if (Pick() is { } question)
            await universe.Edge.ExecuteAsync(new WithdrawQuestion(question.Id, "not any more") { Caller = "asker" });
    }

    private Question? Pick()
    {
        var open = universe.Disk.Questions.Values.Select(stored => stored.Question).Where(question => question.IsOpen).ToList();
        return open.Count == 0 ? null : random.Pick(open);
    }
}
