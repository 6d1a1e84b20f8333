using System.Runtime.InteropServices;
using Dispatch.Chaos;

CrashOptions options;
try
{
    if (args is ["--help"] or ["-h"] or ["crash" or "chaos", "--help" or "-h"])
    {
        Console.WriteLine(CrashOptions.Usage);
        return 0;
    }

    options = CrashOptions.Parse(args, seed: Random.Shared.Next());
    if (!File.Exists(options.Dispatch))
        throw new FormatException($"There is no {options.Dispatch}: build the command first, or name it with --dispatch.");
}
catch (FormatException e)
{
    Console.Error.WriteLine(e.Message);
    Console.Error.WriteLine(CrashOptions.Usage);
    return 2;
}

using var interrupted = new CancellationTokenSource();
using var onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
using var onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
try
{
    return options.Prove ? await (options.IsChaos ? Proof.RunChaosAsync(options, Console.Out, interrupted.Token) : Proof.RunAsync(options, Console.Out, interrupted.Token))
        : await (options.IsChaos ? RunChaosAsync() : RunOnceAsync());
}
catch (OperationCanceledException) when (interrupted.IsCancellationRequested)
{
    Console.Error.WriteLine("interrupted");
    return 130;
}

async Task<int> RunOnceAsync()
{
    Console.WriteLine($"crash test: {options.Kills} kills, seed {options.Seed}");
    using var run = new CrashRun(options, Console.Out);
    var verdict = await run.RunAsync(interrupted.Token);
    Console.WriteLine(verdict.ToText());
    if (options.Json is not null)
        await File.WriteAllTextAsync(options.Json, verdict.ToJson());
    return verdict.Passed ? 0 : 1;
}

async Task<int> RunChaosAsync()
{
    Console.WriteLine($"chaos: {options.Faults} faults, seed {options.Seed}");
    using var run = new ChaosRun(options, Console.Out);
    var verdict = await run.RunAsync(interrupted.Token);
    Console.WriteLine(verdict.ToText());
    if (options.Json is not null)
        await File.WriteAllTextAsync(options.Json, verdict.ToJson());
    return verdict.Passed ? 0 : 1;
}

void Interrupt(PosixSignalContext signal)
{
    signal.Cancel = true;
    interrupted.Cancel();
}
