using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Dispatch.Bench.Measuring;

namespace Dispatch.Bench.Reporting;

/// <summary>Where and when a run took place: what its numbers depend on besides the code.</summary>
internal sealed record Machine(
    string Processor,
    int Cores,
    double MemoryGiB,
    string Kernel,
    string Runtime,
    string FileSystem,
    double FsyncP50Ms,
    double FsyncP99Ms,
    string Date,
    string Commit,
    double LoadBefore)
{
    private const int Fsyncs = 300;

    /// <param name="directory">Where the stores will be; its disk is tried out.</param>
    public static Machine Describe(string directory)
    {
        var fsync = TryDisk(directory);
        return new Machine(
            FindProcessor(),
            Environment.ProcessorCount,
            GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1024.0 * 1024 * 1024),
            File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
            RuntimeInformation.FrameworkDescription,
            new DriveInfo(directory).DriveFormat,
            fsync.PercentileMs(50),
            fsync.PercentileMs(99),
            TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd HH:mm'Z'", CultureInfo.InvariantCulture),
            FindCommit(),
            double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture));
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Processor}, {Cores} cores, {MemoryGiB:0} GiB, Linux {Kernel}, {Runtime}, {FileSystem} (4 KiB + fsync p50 {FsyncP50Ms:0.00} ms, p99 {FsyncP99Ms:0.00} ms), load before {LoadBefore:0.00}, {Date}, commit {Commit}");

    private static string FindProcessor() =>
        File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[^1]
        ?? RuntimeInformation.ProcessArchitecture.ToString();

    // A commit can not be faster than the disk's promise to keep it, and on a file system in memory it costs nothing.
    private static LatencyHistogram TryDisk(string directory)
    {
        var latency = new LatencyHistogram();
        var path = Path.Combine(directory, "fsync");
        var page = new byte[4096];
        using (var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            for (var i = 0; i < Fsyncs; i++)
            {
                var start = Stopwatch.GetTimestamp();
                file.Write(page);
                file.Flush(flushToDisk: true);
                latency.Record(start, Stopwatch.GetTimestamp());
            }
        }

        File.Delete(path);
        return latency;
    }

    private static string FindCommit()
    {
        var commit = Git("rev-parse", "--short", "HEAD");
        return commit.Length == 0 ? "unknown" : Git("status", "--porcelain").Length == 0 ? commit : commit + " with local changes";
    }

    private static string Git(params string[] arguments)
    {
        var start = new ProcessStartInfo("git", arguments)
        {
            WorkingDirectory = AppContext.BaseDirectory,
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        try
        {
            using var git = Process.Start(start)!;
            var output = git.StandardOutput.ReadToEnd().Trim();
            git.WaitForExit();
            return git.ExitCode == 0 ? output : "";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            // No git here: the commit is unknown, and said to be.
            return "";
        }
    }
}
