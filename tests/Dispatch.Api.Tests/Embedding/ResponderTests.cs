using System.Collections.Concurrent;
using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Dispatch.Events;
using Dispatch.Host.Questions;
using Dispatch.Questions;
using Microsoft.Extensions.DependencyInjection;

namespace Dispatch.Api.Tests.Embedding;

/// <summary>Questions inside a program that embeds the broker.</summary>
public sealed class ResponderTests
{
    private readonly ConcurrentQueue<string> seen = [];

    [Fact]
    public async Task A_responder_in_the_program_answers_what_it_is_registered_for()
    {
        await using var broker = await StartAsync();
        var desk = broker.Broker.Questions;

        Assert.Equal(Verdict.Allow, (await AskAsync(desk, "ls")).Outcome);
        Assert.Equal((Verdict.Deny, "Nothing is removed here."), (await AskAsync(desk, "rm -r build") is var denied ? denied.Outcome : null, denied.Reason));
        Assert.Equal("""{"command":"ls"}""", (await AskAsync(desk, "ls -R")).Replacement?.ToString());
        Assert.Equal("safety", Assert.Single((await broker.Admin.GetAsync("/api/v1/responders")).Expect(200).Items()).Id());
    }

    [Fact]
    public async Task One_that_throws_leaves_the_question_to_others_and_goes_on()
    {
        await using var broker = await StartAsync();
        broker.MayLogErrors = true;
        var desk = broker.Broker.Questions;
        var left = await desk.AskAsync("coder", "tool.run", "call", Command("throw"));

        Assert.Equal(Verdict.Allow, (await AskAsync(desk, "ls")).Outcome);

        Assert.True((await desk.FindAsync(left.Question.Id, default))!.Question.IsOpen);
        Assert.Contains($"on question {left.Question.Id}", broker.Log, StringComparison.Ordinal);
        (await broker.Admin.PostAsync($"/api/v1/questions/{left.Question.Id}/answer", new { answer = "deny" })).Expect(200);
        Assert.Equal(Verdict.Deny, (await desk.WaitAsync(left.Question.Id, default)).Question.Outcome);
    }

    [Fact]
    public async Task What_was_asked_while_it_was_away_is_answered_after()
    {
        using var directory = new TemporaryDirectory();
        string id;
        await using (var without = await TestBroker.StartAsync(directory: directory.Path))
        {
            (await without.Admin.PutAsync("/api/v1/responders/safety", new { types = new[] { "tool.*" } })).Expect(201);
            id = (await without.Broker.Questions.AskAsync("coder", "tool.run", "call", Command("ls"))).Question.Id;
        }

        await using var broker = await StartAsync(directory.Path);

        Assert.Equal(Verdict.Allow, (await broker.Broker.Questions.WaitAsync(id, default)).Question.Outcome);
    }

    [Fact]
    public async Task It_confirms_tasks_too()
    {
        await using var broker = await StartAsync();
        var alice = broker.As("alice");

        var id = (await alice.SubmitAsync(new { title = "Deploy", confirm = true })).Id();

        var task = await alice.ReachesAsync(id, "pending");
        Assert.Equal(("Deploy, looked at", 2), (task.Text("title"), task.Number("priority")));
    }

    [Fact]
    public async Task What_can_not_be_asked_is_told()
    {
        await using var broker = await StartAsync();
        var desk = broker.Broker.Questions;

        Assert.Contains("dotted name", (await Assert.ThrowsAsync<ArgumentException>(() => desk.AskAsync("coder", "Tool", "call", Command("ls")))).Message, StringComparison.Ordinal);
        Assert.Contains("confirm", (await Assert.ThrowsAsync<ArgumentException>(() => desk.AskAsync("coder", "task.confirmation", "call", Command("ls")))).Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ArgumentException>(() => desk.AskAsync("", "tool.run", "call", Command("ls")));
        await Assert.ThrowsAsync<ArgumentException>(() => desk.AskAsync("coder", "tool.run", "call", JsonBytes.Parse("[]")));
        await Assert.ThrowsAsync<ArgumentException>(() => desk.AskAsync("coder", "tool.run", "call", Command("ls"), timeout: TimeSpan.FromDays(31)));
        await Assert.ThrowsAsync<ArgumentException>(() => desk.AskAsync("coder", "tool.run", "call", Command("ls"), missing: Verdict.Modify));
        await Assert.ThrowsAsync<ArgumentException>(() => desk.WaitAsync("none", default));
        Assert.Throws<ArgumentException>(() => new ServiceCollection().AddQuestionResponder<Safety>("admin", "tool.*"));
        Assert.Throws<ArgumentException>(() => new ServiceCollection().AddQuestionResponder<Safety>("safety"));
    }

    private static JsonBytes Command(string command) => JsonBytes.Parse(JsonSerializer.Serialize(new { command }));

    private static async Task<Question> AskAsync(QuestionDesk desk, string command)
    {
        var asked = await desk.AskAsync("coder", "tool.run", "call", Command(command));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        return (await desk.WaitAsync(asked.Question.Id, patience.Token)).Question;
    }

    private Task<TestBroker> StartAsync(string? directory = null) => TestBroker.StartAsync(
        directory: directory, compose: services => services.AddSingleton(seen).AddQuestionResponder<Safety>("safety", "tool.*", "task.confirmation"));

    private sealed class Safety(ConcurrentQueue<string> seen) : IQuestionResponder
    {
        public Task<ResponderAnswer> AnswerAsync(StoredQuestion question, CancellationToken cancel)
        {
            var proposal = question.Proposal.ToString();
            seen.Enqueue(proposal);
            if (question.Question.IsOfTask)
                return Task.FromResult(ResponderAnswer.Modify(JsonElement.Parse("""{"title":"Deploy, looked at","priority":2}""")));
            if (proposal.Contains("throw", StringComparison.Ordinal))
                throw new InvalidOperationException("It can't tell.");
            return Task.FromResult(
                proposal.Contains("rm", StringComparison.Ordinal) ? ResponderAnswer.Deny("Nothing is removed here.")
                : proposal.Contains("-R", StringComparison.Ordinal) ? ResponderAnswer.Modify(JsonElement.Parse("""{"command":"ls"}"""))
                : ResponderAnswer.Allow());
        }
    }
}
