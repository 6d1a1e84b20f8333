using System.Runtime.InteropServices;
using System.Text.Json;
using Dispatch.Client;

// An agent in one file: it takes tasks that require "word-count" and name a file, as in {"path": "notes/today.txt"}.
if (args.Length > 1)
{
    Console.Error.WriteLine("Usage: WordCount [DIRECTORY]   counts files below DIRECTORY (default: here)");
    return 2;
}

// Tasks come from others: what they name is looked for in this directory and nowhere else.
var root = Path.GetFullPath((args.FirstOrDefault() ?? ".") + Path.DirectorySeparatorChar);

using var client = new DispatchClient(new DispatchClientOptions
{
    Server = new Uri(Environment.GetEnvironmentVariable("DISPATCH_URL") ?? "http://127.0.0.1:8600"),
    AgentId = Environment.GetEnvironmentVariable("DISPATCH_AGENT_ID") ?? "word-counter",
    Token = Environment.GetEnvironmentVariable("DISPATCH_TOKEN"),
});
var options = new DispatchWorkerOptions
{
    Capabilities = ["word-count"],
    MaxConcurrent = 4,
    Notice = notice => Console.WriteLine($"{notice.Kind,-14} {notice.TaskId} {notice.Message}"),
};
var worker = new DispatchWorker(client, options, CountAsync);

// Ctrl+C and SIGTERM stop it in good order: running counts are finished and reported, the rest is handed back.
using var stop = new CancellationTokenSource();
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
try
{
    await worker.RunAsync(stop.Token);
}
catch (DispatchException refused)
{
    Console.Error.WriteLine($"The broker refuses this agent: {refused.Message}");
    return 1;
}
Console.WriteLine(worker.Statistics);
return 0;

void Stop(PosixSignalContext signal)
{
    signal.Cancel = true;
    stop.Cancel();
}

async Task<WorkResult> CountAsync(WorkItem item, CancellationToken cancel)
{
    if (!item.Task.Context.TryGetProperty("path", out var given) || given.ValueKind != JsonValueKind.String)
        return WorkResult.Fail("The context names no file: {\"path\": \"...\"} is needed.", retryable: false);
    var path = Path.GetFullPath(given.GetString()!, root);
    if (!path.StartsWith(root, StringComparison.Ordinal) || !File.Exists(path))
        return WorkResult.Fail($"There is no file {given} here.", retryable: false);

    long words = 0, lines = 0;
    await foreach (var line in File.ReadLinesAsync(path, cancel))
    {
        words += line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
        if (++lines % 100_000 == 0)
            item.ReportProgress(message: $"{lines} lines");
    }
    return WorkResult.Complete(JsonElement.Parse($$"""{"words":{{words}},"lines":{{lines}}}"""));
}
