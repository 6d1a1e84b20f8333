using System.Globalization;

namespace Dispatch.Chaos;

/// <summary>What a run is asked to do.</summary>
public sealed record CrashOptions
{
    public const string Usage = """
        Usage: Dispatch.Chaos crash|chaos [options]

        crash kills a broker again and again. chaos runs three on one PostgreSQL of its own, and does worse things to all of them.

          --kills N        how often the broker is killed (default 20; with --prove 5)
          --faults N       how much befalls the nodes in chaos (default 12; with --prove 2)
          --seed S         draws the load and the moments of the kills (default: drawn, and printed)
          --store STORE    sqlite or postgres: a server of its own, killed too at every third kill (default sqlite)
          --dispatch PATH  the command under test (default artifacts/dispatch/dispatch)
          --clients M      submitting clients (default 4)
          --workers K      working agents, at least 2 (default 4)
          --tasks N        tasks the clients may add between two kills (default 400)
          --log-bytes N    the broker keeps so much of its log, 1048576 or more (default 0: all of it)
          --bad-network    what actors and broker say to each other is delayed, cut off and lost now and then
          --bug NAME       run the broker with DISPATCH_TEST_BUG=NAME: the run is expected to fail
          --prove          a short honest run must pass, and one with a planted bug must fail
                           (default ack-before-commit, in chaos epoch-not-checked)
          --json FILE      write the verdict as JSON

        Exit codes: 0 as it should be, 1 not, 2 usage, 130 interrupted.
        """;

    /// <summary>Several nodes and one database, instead of one broker.</summary>
    public bool IsChaos { get; init; }

    /// <summary>1..10,000.</summary>
    public int Faults { get; init; } = 12;

    /// <summary>1..1,000,000.</summary>
    public int Kills { get; init; } = 20;

    public required int Seed { get; init; }

    /// <summary>Whether the broker stores in a PostgreSQL of the run's own.</summary>
    public bool OnPostgres { get; init; }

    public string Dispatch { get; init; } = "artifacts/dispatch/dispatch";

    /// <summary>1..64.</summary>
    public int Clients { get; init; } = 4;

    /// <summary>2..64.</summary>
    public int Workers { get; init; } = 4;

    /// <summary>Tasks the clients may add between two kills, 1..2,000; what is left over is kept.</summary>
    public int TasksPerKill { get; init; } = 400;

    /// <summary>How much of its log the broker keeps; 0: all.</summary>
    public int LogBytes { get; init; }

    /// <summary>Whether the actors reach the broker through a network that delays, cuts and loses.</summary>
    public bool BadNetwork { get; init; }

    /// <summary>Planted bug of the broker to switch on, or null.</summary>
    public string? Bug { get; init; }

    public bool Prove { get; init; }

    /// <summary>Where the verdict goes as JSON, or null.</summary>
    public string? Json { get; init; }

    /// <param name="seed">Used when none is given.</param>
    /// <exception cref="FormatException">The message says what is wrong with which argument.</exception>
    public static CrashOptions Parse(IReadOnlyList<string> arguments, int seed)
    {
        if (arguments is not ["crash" or "chaos", ..])
            throw new FormatException("The first argument is the test to run: crash or chaos.");

        var options = new CrashOptions { Seed = seed, IsChaos = arguments[0] == "chaos" };
        int? faults = null;
        int? kills = null;
        for (var index = 1; index < arguments.Count; index++)
        {
            var name = arguments[index];
            switch (name)
            {
                case "--kills": kills = Number(1, 1_000_000); break;
                case "--faults": faults = Number(1, 10_000); break;
                case "--seed": options = options with { Seed = Number(0, int.MaxValue) }; break;
                case "--dispatch": options = options with { Dispatch = Text() }; break;
                case "--clients": options = options with { Clients = Number(1, 64) }; break;
                case "--workers": options = options with { Workers = Number(2, 64) }; break;
                case "--tasks": options = options with { TasksPerKill = Number(1, 2_000) }; break;
                case "--log-bytes": options = options with { LogBytes = Number(1 << 20, 1 << 30) }; break;
                case "--store": options = options with { OnPostgres = Text() switch { "sqlite" => false, "postgres" => true, _ => throw new FormatException($"--store takes sqlite or postgres, not {arguments[index]}.") } }; break;
                case "--bad-network": options = options with { BadNetwork = true }; break;
                case "--bug": options = options with { Bug = Text() }; break;
                case "--json": options = options with { Json = Text() }; break;
                case "--prove": options = options with { Prove = true }; break;
                default: throw new FormatException($"Unknown option {name}.");
            }

            string Text() => ++index < arguments.Count ? arguments[index] : throw new FormatException($"{name} needs a value.");

            int Number(int least, int most) =>
                int.TryParse(Text(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most
                    ? number
                    : throw new FormatException($"{name} takes a number from {least} to {most}, not {arguments[index]}.");
        }

        return options with { Kills = kills ?? (options.Prove ? 5 : options.Kills), Faults = faults ?? (options.Prove ? 2 : options.Faults) };
    }
}
