using System.Diagnostics;
using System.Reflection;
using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;

namespace Dispatch.Bench.Targets;

/// <summary><see cref="BareServer"/> in a process of its own, like the broker.</summary>
internal sealed class BareProcess : IAsyncDisposable
{
    private readonly ChildProcess _child;

    private BareProcess(ChildProcess child, Target target, double startSeconds)
    {
        _child = child;
        Target = target;
        StartSeconds = startSeconds;
        Gauge = new ProcessGauge(child.Id);
    }

    public Target Target { get; }

    public ProcessGauge Gauge { get; }

    /// <summary>From exec until it listens.</summary>
    public double StartSeconds { get; }

    public static async Task<BareProcess> StartAsync(string directory, CancellationToken cancellation)
    {
        Directory.CreateDirectory(directory);
        var portFile = Path.Combine(directory, "url");
        File.Delete(portFile);
        var program = Environment.ProcessPath ?? throw new RunFailedException("This program does not know its own path.");
        string[] self = Path.GetFileNameWithoutExtension(program) == "dotnet"
            ? [program, Assembly.GetExecutingAssembly().Location]
            : [program];

        var started = Stopwatch.GetTimestamp();
        var child = ChildProcess.Start(Path.Combine(directory, "log"), [.. self, "bare-server", portFile]);
        while (!File.Exists(portFile))
        {
            if (child.HasExited || Stopwatch.GetElapsedTime(started) > TimeSpan.FromSeconds(30))
            {
                await child.DisposeAsync();
                throw new RunFailedException($"The bare server did not start: {child.LastOutput()}");
            }

            await Task.Delay(1, cancellation);
        }

        var startSeconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        return new BareProcess(child, Target.At(await File.ReadAllTextAsync(portFile, cancellation)), startSeconds);
    }

    public ValueTask DisposeAsync() => _child.DisposeAsync();
}
