using System.CommandLine;
using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Quota;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary><c>dispatch submit</c>: one task from flags, or many from a file.</summary>
internal sealed class SubmitCommand
{
    private readonly Argument<string?> words = new("TITLE") { Description = "What is to be done, in a line", Arity = ArgumentArity.ZeroOrOne };
    private readonly Option<string?> title = new("--title") { Description = "The same, as an option", HelpName = "TEXT" };
    private readonly Option<string?> description = new("--description") { Description = "More about it", HelpName = "TEXT" };
    private readonly Option<string?> scope = new("--scope") { Description = "A capability the agent must have, by another name", HelpName = "NAME" };
    private readonly Option<string[]> require = new("--require") { Description = "A capability the agent must have; may repeat", HelpName = "NAME" };
    private readonly Option<string[]> prefer = new("--prefer") { Description = "A capability that is welcome; may repeat", HelpName = "NAME" };
    private readonly Option<string[]> labels = Labels.Option("A label; may repeat");
    private readonly Option<string?> owner = new("--owner") { Description = "Only this owner's agents may do it", HelpName = "NAME" };
    private readonly Option<string?> priority = new("--priority") { Description = "0 to 10, or low, normal, high, critical", HelpName = "N" };
    private readonly Option<string?> context = new("--context") { Description = "A JSON object for the agent, or @FILE that holds one, or @- for standard input", HelpName = "JSON" };
    private readonly Option<TimeSpan?> timeout = Durations.Option("--timeout", "How long one attempt may run");
    private readonly Option<int?> maxRetries = Numbers.Option("--max-retries", "Attempts after the first, 0 to 100", 0, 100);
    private readonly Option<DateTimeOffset?> runAt = Durations.InstantOption("--run-at", "Not before this time");
    private readonly Option<TimeSpan?> delay = Durations.Option("--delay", "Not before this long from now");
    private readonly Option<DateTimeOffset?> deadline = Durations.InstantOption("--deadline", "No attempt goes on past this time");
    private readonly Option<string[]> dependsOn = new("--depends-on") { Description = "Id of a task that must complete first; may repeat", HelpName = "ID" };
    private readonly Option<string?> parent = new("--parent") { Description = "Id of the task this one is part of", HelpName = "ID" };
    private readonly Option<string?> key = new("--idempotency-key") { Description = "The same key again is the same task, not another one", HelpName = "KEY" };
    private readonly Option<string[]> estimate = new("--estimate") { Description = "What it is expected to use, as in tokens_in=8000, money=0.50 or model=NAME; may repeat", HelpName = "NAME=N" };
    private readonly Option<string[]> budget = new("--budget") { Description = "What it and all tasks below it may use, as in tokens=100000 or money=5; may repeat", HelpName = "NAME=N" };
    private readonly Option<bool> confirm = new("--confirm") { Description = "Not before somebody has confirmed it: see dispatch question" };
    private readonly Option<bool> wait = new("--wait") { Description = "Wait for the end; exit 1 when it is not completed" };
    private readonly Option<string?> file = new("--file", "-f") { Description = "Submit every line of FILE, each a task as JSON; - reads standard input", HelpName = "FILE" };
    private readonly Option<string?> keyPrefix = new("--key-prefix") { Description = "With -f: key every line PREFIX:LINE, so that the file can be submitted again safely", HelpName = "PREFIX" };

    private SubmitCommand()
    {
    }

    public static Command Create() => new SubmitCommand().Build();

    private DispatchCommand Build()
    {
        priority.CompletionSources.Add("low", "normal", "high", "critical");
        Option[] single =
        [
            title, description, scope, require, prefer, labels, owner, priority, context, timeout, maxRetries,
            runAt, delay, deadline, dependsOn, parent, key, estimate, budget, confirm,
        ];
        var command = new DispatchCommand("submit", "Submit a task, or a file of tasks")
        {
            Arguments = { words },
            Examples =
            [
                "dispatch submit 'Summarise the incident' --require summarise --priority high --wait",
                "dispatch submit 'Resize' --scope images --context '{\"path\":\"in.png\"}' --timeout 30s --max-retries 1",
                "dispatch submit 'Nightly report' --delay 2h --context @report.json --label team=ops",
                "dispatch submit 'Port the parser' --budget tokens=400000 --budget money=5 --estimate tokens_in=20000 --estimate model=large-1",
                "dispatch submit -f tasks.jsonl --key-prefix import-7     # safe to repeat",
                "generate-tasks | dispatch submit -f - --json",
            ],
        };
        foreach (var option in single)
            command.Options.Add(option);
        command.Options.Add(wait);
        command.Options.Add(file);
        command.Options.Add(keyPrefix);

        command.Validators.Add(result =>
        {
            var fromFile = result.GetResult(file) is not null;
            var given = single.Where(option => result.GetResult(option) is { Implicit: false }).Select(option => option.Name).ToList();
            var named = result.GetValue(title) ?? result.GetValue(words);
            if (fromFile && (given.Count > 0 || result.GetValue(words) is not null))
                result.AddError($"-f takes everything from the file; leave out {(given.Count > 0 ? string.Join(", ", given) : "the title")}");
            else if (!fromFile && string.IsNullOrEmpty(named))
                result.AddError("Say what is to be done: dispatch submit 'a title', or -f FILE");
            else if (result.GetValue(title) is not null && result.GetValue(words) is not null)
                result.AddError("The title is given twice");
            if (!fromFile && result.GetResult(keyPrefix) is not null)
                result.AddError("--key-prefix goes with -f; for one task use --idempotency-key");
            if (result.GetResult(runAt) is not null && result.GetResult(delay) is not null)
                result.AddError("--run-at and --delay say the same thing; give one");
            if (result.GetValue(priority) is { } urgency && !(TaskPriority.TryParse(urgency, out var level) && level is >= 0 and <= 10))
                result.AddError($"--priority: '{urgency}' is none. Give 0 to 10, or low, normal, high, critical");
        });
        return command.Does(run => run.Get(file) is { } path ? SubmitFileAsync(run, path) : SubmitOneAsync(run));
    }

    private async Task<int> SubmitOneAsync(Invocation run)
    {
        var task = await ReadAsync(run);
        using var client = run.Connect(Brokers.Access.Agent);
        var submission = await client.SubmitAsync(task, run.Stop);
        if (!run.Get(wait))
        {
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(submission.Task));
            else
                run.Screen.Line($"{submission.Task.Id}  {(submission.IsNew ? "" : "submitted before; now ")}{TaskView.Describe(submission.Task)}");
            return ExitCode.Ok;
        }

        using var patient = run.Connect(Brokers.Access.Agent, TaskWatch.Patience);
        try
        {
            var ended = await new TaskWatch(patient).FollowAsync(submission.Task.Id, now => run.Screen.Note($"{now.Id}  {TaskView.Describe(now)}"), run.Stop);
            TaskView.Write(run.Screen, ended);
            return ended.Status == TaskState.Completed ? ExitCode.Ok : ExitCode.Failed;
        }
        catch (OperationCanceledException) when (run.Stop.IsCancellationRequested)
        {
            run.Screen.Note($"The task goes on without you. Follow it with: dispatch task watch {submission.Task.Id}");
            throw;
        }
    }

    private async Task<NewTask> ReadAsync(Invocation run)
    {
        int? urgency = run.Get(priority) is { } text && TaskPriority.TryParse(text, out var number) ? number : null;
        var limits = QuotaAmount.ReadPairs(run.Get(budget), "--budget");
        return new NewTask
        {
            Title = run.Get(title) ?? run.Get(words),
            Description = run.Get(description),
            Scope = run.Get(scope),
            RequiredCapabilities = NullIfEmpty(run.Get(require)),
            PreferredCapabilities = NullIfEmpty(run.Get(prefer)),
            Labels = Labels.Read(run.Get(labels)) is { Count: > 0 } given ? given : null,
            Owner = run.Get(owner),
            Priority = urgency,
            Context = run.Get(context) is { } json ? await JsonOption.ReadObjectAsync(json, "--context", "{\"path\":\"in.png\"}", run.Stop) : null,
            Timeout = run.Get(timeout),
            MaxRetries = run.Get(maxRetries),
            RunAt = run.Get(runAt) ?? (TimeProvider.System.GetUtcNow() + run.Get(delay)),
            Deadline = run.Get(deadline),
            DependsOn = NullIfEmpty(run.Get(dependsOn)),
            ParentId = run.Get(parent),
            IdempotencyKey = run.Get(key),
            Confirm = run.Get(confirm) ? true : null,
            Estimate = Estimate(run.Get(estimate)),
            Budget = limits.Count == 0 ? null : limits,
        };
    }

    // A model is a name and no amount.
    private static JsonElement? Estimate(string[]? given)
    {
        const string Model = "model=";
        if (given is not { Length: > 0 })
            return null;
        var amounts = QuotaAmount.ReadPairs(given.Where(pair => !pair.StartsWith(Model, StringComparison.Ordinal)), "--estimate");
        return QuotaAmount.ToJson(amounts, given.LastOrDefault(pair => pair.StartsWith(Model, StringComparison.Ordinal))?[Model.Length..]);
    }

    private async Task<int> SubmitFileAsync(Invocation run, string path)
    {
        using var brisk = run.Connect(Brokers.Access.Agent);
        using var patient = run.Connect(Brokers.Access.Agent, TimeSpan.FromSeconds(30));
        using var reader = path == "-" ? Console.In : new StreamReader(path);
        var size = path == "-" || reader is not StreamReader { BaseStream: { CanSeek: true } stream } ? (long?)null : stream.Length;
        var bulk = new BulkSubmit(brisk, patient, run.Get(keyPrefix), keepIds: run.Screen.Json || run.Get(wait));

        var summary = run.Screen.NotesAreTerminal
            ? await SubmitProgress.ShowAsync(run.Screen, size, told => bulk.RunAsync(reader, told, run.Stop))
            : await bulk.RunAsync(reader, _ => { }, run.Stop);

        if (run.Get(wait) && summary.Fault is null)
            summary = await WaitAsync(run, patient, summary);
        summary.Write(run.Screen);
        return summary.Fault?.ExitCode ?? (summary.Ended is { } ended && ended.Keys.Any(state => state != TaskState.Completed) ? ExitCode.Failed : ExitCode.Ok);
    }

    private static async Task<SubmitSummary> WaitAsync(Invocation run, DispatchClient client, SubmitSummary summary)
    {
        var ended = new SortedDictionary<string, int>();
        foreach (var id in summary.Ids)
        {
            var task = await client.WaitForTaskAsync(id, Timeout.InfiniteTimeSpan, run.Stop);
            ended[task.Status] = ended.GetValueOrDefault(task.Status) + 1;
        }

        return summary with { Ended = ended };
    }

    private static string[]? NullIfEmpty(string[]? values) => values is { Length: > 0 } ? values : null;
}
