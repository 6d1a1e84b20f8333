using System.Runtime.InteropServices;
using Dispatch.Bench;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Rows;
using Dispatch.Bench.Targets;
using Dispatch.Servers;

if (args is ["bare-server", var portFile])
{
    await BareServer.RunAsync(portFile);
    return 0;
}

if (args is ["--help" or "-h" or "help"])
{
    Console.WriteLine(BenchArguments.Usage);
    return 0;
}

BenchArguments arguments;
try
{
    arguments = BenchArguments.Parse(args);
}
catch (FormatException wrong)
{
    Console.Error.WriteLine($"{wrong.Message}\n\n{BenchArguments.Usage}");
    return 2;
}

if (!OperatingSystem.IsLinux())
{
    Console.Error.WriteLine("The load client and the gauges use epoll and /proc: Linux only.");
    return 2;
}

if (arguments.OnPostgres && PostgresServer.Missing is { } missing)
{
    Console.Error.WriteLine(missing);
    return 2;
}

var needsBroker = arguments.Rows.Any(row => row != "bare");
if (needsBroker && !File.Exists(arguments.Broker))
{
    Console.Error.WriteLine($"There is no broker at {arguments.Broker}: build it first, or name another with --dispatch.");
    return 2;
}

using var stop = new CancellationTokenSource();
void Stop(PosixSignalContext signal)
{
    signal.Cancel = true;
    stop.Cancel();
}

using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);

var directory = Path.Combine(arguments.WorkDirectory, $"dispatch-bench-{Environment.ProcessId}");
Directory.CreateDirectory(directory);
try
{
    return await RunAsync();
}
catch (OperationCanceledException)
{
    Console.Error.WriteLine("Interrupted.");
    return 130;
}
finally
{
    Directory.Delete(directory, recursive: true);
}

async Task<int> RunAsync()
{
    var machine = Machine.Describe(directory);
    var report = new Report(machine, arguments);
    await using var postgres = arguments.OnPostgres ? await PostgresServer.StartAsync(directory) : null;
    var bench = new Bench(arguments, directory, postgres, stop.Token);
    Console.WriteLine($"machine: {machine}");

    // The store rows come as one: they share the store of a million tasks.
    (string Name, bool Wanted, Func<Bench, Task<RowResult>> Row)[] rows =
    [
        ("bare", true, BareRow.RunAsync),
        ("submit", arguments.Wants("submit"), SubmitRow.RunAsync),
        ("bulk", arguments.Wants("bulk"), BulkRow.RunAsync),
        ("life", arguments.Wants("life"), LifeRow.RunAsync),
        ("drain", arguments.Wants("drain"), DrainRow.RunAsync),
        ("latency", arguments.Wants("latency"), LatencyRow.RunAsync),
        ("memory and start", arguments.Wants("memory") || arguments.Wants("start"), StoreRows.RunAsync),
        ("events", arguments.Wants("events"), EventRows.RunAsync),
        ("in process", arguments.Wants("in-process"), InProcessRow.RunAsync),
        ("allowances", arguments.Wants("allowances"), AllowanceRow.RunAsync),
        ("copy", arguments.Wants("copy"), CopyRow.RunAsync),
        ("idle", arguments.Wants("idle"), IdleRow.RunAsync),
    ];
    foreach (var (name, _, row) in rows.Where(row => row.Wanted))
    {
        Console.WriteLine($"running {name} ...");
        GC.Collect();
        try
        {
            report.Add(name, await row(bench));
        }
        catch (Exception failure) when (!stop.IsCancellationRequested)
        {
            // The other rows are still worth having; the run as a whole ends with 1.
            Console.WriteLine($"  failed: {failure}");
            report.AddFailure(name, failure.Message);
        }
    }

    Console.WriteLine();
    Console.Write(report.ToText());
    if (arguments.JsonFile is { } file)
        report.WriteJson(file);

    return report.Failed ? 1 : 0;
}
