using Dispatch.Chaos.Brokers;

namespace Dispatch.Chaos.Load;

/// <summary>Three levels of limits on every task; that of the swarm binds, so that work waits for it and is let on again.</summary>
public static class Limits
{
    private const int JobsAtOncePerWorker = 16;
    private static readonly TimeSpan CommandLimit = TimeSpan.FromSeconds(20);

    /// <param name="directory">That of the broker that is asked.</param>
    /// <exception cref="BrokerException">It refused.</exception>
    public static async Task SetAsync(CrashOptions options, RunDirectory directory, CancellationToken cancel)
    {
        string[][] limits =
        [
            ["agent-tokens", "--each", "agent", "--unit", "tokens", "--amount", "1000000000000", "--window", "hour"],
            ["crew-requests", "--owner", Worker.Owner, "--unit", "requests", "--amount", "1000000000000", "--rolling", "1h"],
            ["swarm-at-once", "--swarm", "--unit", "concurrent_jobs", "--amount", $"{options.Workers * JobsAtOncePerWorker}"],
        ];
        foreach (var limit in limits)
        {
            var set = await Command.RunAsync(Command.Describe(options.Dispatch, ["quota", "set", .. limit, "--data-dir", directory.Data, "--token", RunDirectory.AdminToken]), CommandLimit, cancel);
            if (set.ExitCode != 0)
                throw new BrokerException($"dispatch quota set {limit[0]} ended with {set.ExitCode}: {set.Error}");
        }
    }
}
