using Dispatch.Events;
using Dispatch.Host;
using Dispatch.Host.Bus;
using Dispatch.Host.Configuration;
using Dispatch.Host.Questions;
using Dispatch.Tasks;
using Embedding;

// A program with a broker of its own: it publishes notes, counts them, confirms tasks, and looks on when one ends.
if (args.Length > 1)
{
    Console.Error.WriteLine("Usage: Embedding [DIRECTORY]   keeps the log in DIRECTORY (default: notes-data)");
    return 2;
}

var directory = Path.GetFullPath(args.FirstOrDefault() ?? "notes-data");
var config = new DispatchConfig { Database = new DatabaseSettings { Url = $"sqlite://{directory}/dispatch.db" } };
try
{
    await using var broker = await Broker.StartAsync(config, TimeProvider.System, CancellationToken.None, Console.OpenStandardError(), compose: services => services
        .AddEventSource("notes")
        .AddEvent<NoteTaken>("note.taken")
        .AddEventHandler<NoteTaken, WordCounter>(options =>
        {
            options.Name = "word-counter";
            options.Durable = true;
            options.StartAfter = 0;
        })
        .AddQuestionResponder<Editor>("editor", "task.confirmation"));

    using var ended = broker.Events.Subscribe<TaskCompleted>(EventFilter.All, (happened, _) =>
    {
        Console.WriteLine($"Task {happened.Entry.Subject} is done, by {happened.Data.Agent}.");
        return Task.CompletedTask;
    });

    Console.WriteLine($"A broker is at {broker.Url}. Each line you type is a note; an empty one ends it.");
    while (Console.ReadLine() is { Length: > 0 } line)
    {
        var published = await broker.Events.PublishAsync(new NoteTaken(line), subject: "pad");
        Console.WriteLine($"Event {published.Sequence}.");
    }

    return 0;
}
catch (BrokerStartException failure)
{
    Console.Error.WriteLine($"{failure.Message} {failure.Next}");
    return 1;
}
