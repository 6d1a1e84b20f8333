using System.Diagnostics;
using System.Globalization;

namespace Dispatch.Simulation;

/// <summary>
/// Runs the same seeds in two processes and compares their traces: hash codes of strings, thread pools and clocks differ between
/// processes, so whatever depends on them shows.
/// </summary>
internal static class Determinism
{
    public static int Run(Command.Options options)
    {
        var first = Start(options);
        var second = Start(options);
        var one = Read(first);
        var other = Read(second);
        var differing = one.Zip(other).Where(pair => pair.First != pair.Second).ToList();
        foreach (var (a, b) in differing.Take(5))
            Console.WriteLine($"differs: {a} and {b}");
        if (one.Length != options.Determinism || other.Length != options.Determinism)
        {
            Console.WriteLine($"{one.Length} and {other.Length} of {options.Determinism} seeds were run");
            return 1;
        }

        Console.WriteLine($"{options.Determinism - differing.Count} seeds ran alike in two processes, {differing.Count} did not");
        return differing.Count == 0 ? 0 : 1;
    }

    private static Process Start(Command.Options options)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, UseShellExecute = false };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
            start.ArgumentList.Add(typeof(Determinism).Assembly.Location);
        foreach (var argument in new[] { "--hashes", "--seeds", options.Determinism.ToString(CultureInfo.InvariantCulture), "--from", options.From.ToString(CultureInfo.InvariantCulture), "--steps", options.Steps.ToString(CultureInfo.InvariantCulture), "--jobs", "1" })
            start.ArgumentList.Add(argument);
        return Process.Start(start) ?? throw new InvalidOperationException("The process did not start.");
    }

    private static string[] Read(Process process)
    {
        using (process)
        {
            var lines = process.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
            process.WaitForExit();
            return lines;
        }
    }
}
