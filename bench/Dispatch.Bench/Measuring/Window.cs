using System.Diagnostics;
using System.Globalization;

namespace Dispatch.Bench.Measuring;

/// <summary>
/// Wall and processor time of a measured stretch: how much the server, this client, and everybody else on the machine
/// used. A number taken while others were busy is worth less, and the report says so.
/// </summary>
internal sealed class Window
{
    private readonly ProcessGauge _server;
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly TimeSpan _serverStart;
    private readonly TimeSpan _clientStart = Environment.CpuUsage.TotalTime;
    private readonly (double Worked, double Stolen) _machineStart = Machine();

    private Window(ProcessGauge server)
    {
        _server = server;
        _serverStart = server.ProcessorTime;
    }

    public static Window Open(ProcessGauge server) => new(server);

    /// <summary>Ends it.</summary>
    public WindowFigures Close()
    {
        var seconds = Stopwatch.GetElapsedTime(_start).TotalSeconds;
        var server = (_server.ProcessorTime - _serverStart).TotalSeconds;
        var client = (Environment.CpuUsage.TotalTime - _clientStart).TotalSeconds;
        var (worked, stolen) = Machine();
        var others = Math.Max(0, worked - _machineStart.Worked - server - client) + stolen - _machineStart.Stolen;
        return new WindowFigures(seconds, server / seconds, client / seconds, others / seconds);
    }

    // Interrupts are left out of what was worked: much of them is this run's own loopback traffic, charged to nobody.
    private static (double Worked, double Stolen) Machine()
    {
        var fields = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries);
        double Seconds(int field) => double.Parse(fields[field], CultureInfo.InvariantCulture) / 100;
        return (Seconds(1) + Seconds(2) + Seconds(3), Seconds(8));
    }
}

/// <summary>What a <see cref="Window"/> saw; processor use in cores.</summary>
internal sealed record WindowFigures(double Seconds, double ServerCores, double ClientCores, double OtherCores)
{
    // More than this of a core, and the number says as much about the neighbours as about the server.
    private const double Disturbance = 0.1;

    /// <summary>Processor time for each of so many tasks: what holds of a rate even when neighbours took their share.</summary>
    public string PerTask(long tasks) =>
        $"{this}; processor time a task: server {ServerCores * Seconds * 1e6 / tasks:0.0} us, client {ClientCores * Seconds * 1e6 / tasks:0.0} us";

    public override string ToString() =>
        $"cores: server {ServerCores:0.00}, client {ClientCores:0.00}, others {OtherCores:0.00}"
        + (OtherCores > Disturbance ? " (DISTURBED by other programs: repeat on a quiet machine)" : "");
}
