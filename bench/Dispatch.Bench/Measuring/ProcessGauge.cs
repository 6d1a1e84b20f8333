using System.Globalization;

namespace Dispatch.Bench.Measuring;

/// <summary>Memory and processor time of one process, from <c>/proc</c>.</summary>
/// <param name="processId">The process.</param>
internal sealed class ProcessGauge(int processId)
{
    // USER_HZ is 100 on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    /// <summary>Resident memory now (VmRSS), in MiB.</summary>
    public double ResidentMiB => Status("VmRSS:");

    /// <summary>The part of it that is no file's pages (RssAnon), in MiB.</summary>
    public double AnonymousMiB => Status("RssAnon:");

    /// <summary>The most it ever was (VmHWM), in MiB.</summary>
    public double PeakMiB => Status("VmHWM:");

    /// <summary>User and system time used since it started, to 10 ms.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            // The name in parentheses may contain spaces; fields are counted from behind it.
            var stat = File.ReadAllText($"/proc/{processId}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return TimeSpan.FromSeconds((Ticks(fields[11]) + Ticks(fields[12])) / TicksPerSecond);
        }
    }

    private static double Ticks(string field) => double.Parse(field, CultureInfo.InvariantCulture);

    private double Status(string name)
    {
        foreach (var line in File.ReadLines($"/proc/{processId}/status"))
        {
            if (line.StartsWith(name, StringComparison.Ordinal))
                return double.Parse(line[name.Length..^2], CultureInfo.InvariantCulture) / 1024;
        }

        throw new RunFailedException($"/proc/{processId}/status has no {name}");
    }
}
