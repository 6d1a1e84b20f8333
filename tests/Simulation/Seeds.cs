using System.Collections.Concurrent;

namespace Dispatch.Simulation;

/// <summary>Runs seeds on several threads. Each is a world of its own on one thread, so how many there are changes nothing.</summary>
internal static class Seeds
{
    /// <summary>A seed that takes longer than this in real time hangs.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    /// <summary>The outcomes, in the order of the seeds.</summary>
    public static IEnumerable<Outcome> Run(Command.Options options, TextWriter? writer)
    {
        var results = new BlockingCollection<Outcome>();
        long next = options.From - 1;
        var end = options.From + options.Seeds;
        var jobs = writer is null ? options.Jobs : 1;
        for (var i = 0; i < jobs; i++)
        {
            var thread = new Thread(() =>
            {
                while (Interlocked.Increment(ref next) is var seed && seed < end)
                    results.Add(new Universe(seed, options.Bug, options.Steps, writer).Run());
            })
            { IsBackground = true };
            thread.Start();
        }

        var early = new SortedDictionary<long, Outcome>();
        try
        {
            for (var expected = options.From; expected < end; expected++)
            {
                while (!early.ContainsKey(expected))
                {
                    if (!results.TryTake(out var outcome, Patience))
                        throw new InvalidOperationException($"Nothing has finished for {Patience}: a seed near {expected} hangs. Run it alone with --seed.");
                    early.Add(outcome.Seed, outcome);
                }

                early.Remove(expected, out var due);
                yield return due!;
            }
        }
        finally
        {
            // Whoever has seen enough does not wait for the rest.
            Interlocked.Exchange(ref next, end);
        }
    }
}
