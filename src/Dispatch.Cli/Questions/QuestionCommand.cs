using System.CommandLine;
using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Questions;

/// <summary><c>dispatch question ...</c>: steps that are asked about before they are taken.</summary>
internal static class QuestionCommand
{
    private const int LongestCell = 60;

    public static Command Create() => new DispatchCommand("question", "See and answer what agents ask before they act")
    {
        Examples = ["dispatch question list", "dispatch question answer ID allow", "dispatch question answer ID deny --reason 'Not on a Friday'"],
        Subcommands = { List(), Show(), Answer(), Ask(), Withdraw() },
    };

    private static DispatchCommand List()
    {
        var status = new Option<string?>("--status") { Description = "open, answered, expired, withdrawn or all; open when left out", HelpName = "STATE" };
        status.AcceptOnlyFromAmong("open", "answered", "expired", "withdrawn", "all");
        var types = new Option<string[]>("--type") { Description = "A type of step, or all below a name as in tool.*; may repeat", HelpName = "TYPE" };
        var about = new Option<string?>("--about") { Description = "Id of what the step is about, such as a task", HelpName = "ID" };
        var limit = Numbers.Option("--limit", "At most this many", 1, 1_000, 100);
        return new DispatchCommand("list", "List questions, newest first")
        {
            Options = { status, types, about, limit },
            Examples = ["dispatch question list", "dispatch question list --type 'tool.*' --json", "dispatch question list --status all --about 019a9f5e-7c00-7a31-9b1e-5d0c2f4a8e11"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var filter = new QuestionFilter { Status = run.Get(status), Types = run.Get(types) ?? [], About = run.Get(about), Limit = run.Get(limit) };
            var (questions, next) = await client.ListQuestionsAsync(filter, null, run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(questions));
                return ExitCode.Ok;
            }

            if (questions.Count == 0)
            {
                run.Screen.Note(filter.Status is null ? "No question is open." : "No such question.");
                return ExitCode.Ok;
            }

            var listing = new Listing("ID", "TYPE", "STATUS", "ASKER", "UNTIL", "PROPOSAL");
            foreach (var question in questions)
                listing.Add(question.Id, question.Type, question.Outcome ?? question.Status, question.Asker, TaskView.Time(question.ExpiresAt) ?? "-", Short(question.Proposal));
            listing.Write(run.Screen);
            if (next is not null)
                run.Screen.Note($"There are more; show them with --limit {Math.Min(1_000, run.Get(limit) * 2)}");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Show()
    {
        var id = Id();
        return new DispatchCommand("show", "Show a question, its answers and what came of it")
        {
            Arguments = { id },
            Examples = ["dispatch question show 019a9f60-11f0-7a31-9b1e-5d0c2f4a8e11"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            Tell(run, await client.GetQuestionAsync(run.Get(id), cancel: run.Stop));
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Answer()
    {
        var id = Id();
        var answer = new Argument<string>("ANSWER") { Description = "allow, deny or modify" };
        answer.AcceptOnlyFromAmong(Verdict.Allow, Verdict.Deny, Verdict.Modify);
        var reason = new Option<string?>("--reason") { Description = "Why, for people", HelpName = "TEXT" };
        var replacement = new Option<string?>("--replacement") { Description = "With modify: what is to be done instead, a JSON object, or @FILE that holds one, or @- for standard input", HelpName = "JSON" };
        return new DispatchCommand("answer", "Answer a question; the first answer counts")
        {
            Arguments = { id, answer },
            Options = { reason, replacement },
            Examples =
            [
                "dispatch question answer 019a9f60-11f0-7a31-9b1e-5d0c2f4a8e11 allow",
                "dispatch question answer 019a9f60-11f0-7a31-9b1e-5d0c2f4a8e11 deny --reason 'Not on a Friday'",
                "dispatch question answer 019a9f60-11f0-7a31-9b1e-5d0c2f4a8e11 modify --replacement '{\"title\":\"Only the summary\",\"priority\":2}'",
            ],
        }.Does(async run =>
        {
            var instead = run.Get(replacement) is { } json ? await JsonOption.ReadObjectAsync(json, "--replacement", "{\"priority\":2}", run.Stop) : (JsonElement?)null;
            using var client = run.Connect();
            var question = await client.AnswerQuestionAsync(run.Get(id), run.Get(answer), run.Get(reason), instead, run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(question));
            run.Screen.Line($"{question.Id}  {Standing(question)}");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Ask()
    {
        var type = new Option<string>("--type") { Description = "What kind of step: a dotted name in lower case", HelpName = "TYPE", Required = true };
        var about = new Option<string>("--about") { Description = "Id of what it is about", HelpName = "ID", Required = true };
        var proposal = new Option<string>("--proposal") { Description = "What is to be done: a JSON object, or @FILE that holds one, or @- for standard input", HelpName = "JSON", Required = true };
        var session = new Option<string?>("--session") { Description = "The session it belongs to", HelpName = "ID" };
        var missing = new Option<string?>("--default") { Description = "What stands for answers that are missing at the deadline; deny when left out", HelpName = "deny|allow" };
        missing.AcceptOnlyFromAmong(Verdict.Deny, Verdict.Allow);
        var timeout = Durations.Option("--timeout", "How long it waits for answers");
        var wait = new Option<bool>("--wait") { Description = "Wait for the outcome; exit 1 when it is deny. With modify, what to do instead goes to standard output" };
        return new DispatchCommand("ask", "Ask before a step is taken")
        {
            Options = { type, about, proposal, session, missing, timeout, wait },
            Examples =
            [
                "dispatch question ask --agent coder-1 --type tool.execution_requested --about call-9 --proposal '{\"command\":\"rm -r build\"}' --wait",
                "dispatch question ask --type deploy.production --about web --proposal @plan.json --timeout 10m --wait --json",
            ],
        }.Does(async run =>
        {
            var asked = new NewQuestion
            {
                Type = run.Get(type)!,
                About = run.Get(about)!,
                Proposal = await JsonOption.ReadObjectAsync(run.Get(proposal)!, "--proposal", "{\"command\":\"ls\"}", run.Stop),
                Session = run.Get(session),
                Default = run.Get(missing),
                Timeout = run.Get(timeout),
            };
            using var client = run.Connect(Brokers.Access.Agent);
            var question = await client.AskAsync(asked, run.Stop);
            if (run.Get(wait))
            {
                run.Screen.Note($"{question.Id}  waits for {(question.Awaited.Count == 0 ? "an answer" : string.Join(", ", question.Awaited))}, until {TaskView.Time(question.ExpiresAt)}");
                question = await client.WaitForOutcomeAsync(question.Id, run.Stop);
            }

            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(question));
            else if (question.Replacement is { } instead)
                run.Screen.Line(instead.GetRawText());
            else
                run.Screen.Line($"{question.Id}  {Standing(question)}");
            return question.IsOpen || question.Outcome is Verdict.Allow or Verdict.Modify ? ExitCode.Ok : ExitCode.Failed;
        });
    }

    private static DispatchCommand Withdraw()
    {
        var id = Id();
        return new DispatchCommand("withdraw", "Take a question back: the step is not taken after all")
        {
            Arguments = { id },
            Examples = ["dispatch question withdraw 019a9f60-11f0-7a31-9b1e-5d0c2f4a8e11"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            Tell(run, await client.WithdrawQuestionAsync(run.Get(id), run.Stop));
            return ExitCode.Ok;
        });
    }

    private static Argument<string> Id() => new("ID") { Description = "The question's id, from the list" };

    private static string Standing(Question question) =>
        question.IsOpen ? "open, waits for others" : question.Outcome is { } outcome ? $"{outcome}{(question.Reason is { } reason ? $": {reason}" : "")}" : question.Status;

    private static string Short(JsonElement proposal) => proposal.GetRawText() is { Length: > LongestCell } text ? text[..(LongestCell - 3)] + "..." : proposal.GetRawText();

    private static void Tell(Invocation run, Question question)
    {
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(DispatchJson.Write(question));
            return;
        }

        Line("id", question.Id);
        Line("type", question.Type);
        Line("about", question.About);
        Line("session", question.Session);
        Line("asker", question.Asker);
        Line("asked at", TaskView.Time(question.AskedAt));
        Line("proposal", question.Proposal.GetRawText());
        Line("status", question.Status);
        Line("until", question.IsOpen ? $"{TaskView.Time(question.ExpiresAt)}, then {question.Default}" : null);
        Line("waits for", question.IsOpen && question.Awaited.Count > 0 ? string.Join(", ", question.Awaited) : null);
        foreach (var answer in question.Answers)
            Line("answer", $"{answer.Responder}: {answer.Answer}{(answer.Reason is { } why ? $", {why}" : "")}");
        Line("outcome", question.Outcome);
        Line("reason", question.Reason);
        Line("replacement", question.Replacement?.GetRawText());
        Line("closed at", TaskView.Time(question.ClosedAt));

        void Line(string name, string? value)
        {
            if (value is not null)
                run.Screen.Line($"{name,-12} {value}");
        }
    }
}
