using System.Globalization;
using Dispatch.Bench.Targets;

namespace Dispatch.Bench;

/// <summary>What a run was asked to do.</summary>
internal sealed record BenchArguments
{
    public const string Usage = """
        Dispatch.Bench [all|bare|submit|bulk|life|drain|latency|memory|start|events|in-process|allowances|copy|idle ...] [options]

        Measures a real broker over HTTP; the load runs on the same machine. Without a row: all.

          --seconds N      length of the timed rows, 1 to 600 (default 10)
          --store STORE    sqlite or postgres: a server of its own below the work directory (default sqlite)
          --dispatch PATH  the command under test (default artifacts/dispatch/dispatch of this repository)
          --work-dir DIR   where stores are made and removed again; a real disk (default: the temporary directory)
          --json FILE      write the result there too
          --quick          a few seconds a row, on smaller stores; sizes are then not judged

        Ends with 0 whatever the numbers are, 1 when a row could not be measured, 2 when called wrongly, 130 when interrupted.
        """;

    private static readonly string[] AllRows = ["bare", "submit", "bulk", "life", "drain", "latency", "memory", "start", "events", "in-process", "allowances", "copy", "idle"];

    /// <summary>Rows to run, in the order of the table; <c>bare</c> always runs because every ratio needs it.</summary>
    public required IReadOnlyList<string> Rows { get; init; }

    /// <summary>Length of the measured stretch of the timed rows.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Length of the stretch before it that is not counted: compilers and caches settle.</summary>
    public TimeSpan WarmUp => Quick ? TimeSpan.FromSeconds(2) : TimeSpan.FromSeconds(4);

    public string Broker { get; init; } = "";

    /// <summary>Whether the broker stores in a PostgreSQL of the run's own.</summary>
    public bool OnPostgres { get; init; }

    public string WorkDirectory { get; init; } = Path.GetTempPath();

    public string? JsonFile { get; init; }

    public bool Quick { get; init; }

    /// <summary>How the broker was set up, in a line.</summary>
    public string Setting =>
        $"{Broker} serve with `{BrokerProcess.Configuration.Trim()}` and every other key at its default ({(OnPostgres ? "PostgreSQL on the same machine with its defaults, " : "")}fsync on, access log as it comes, standard output to a file); "
        + $"load from one thread on the same machine, {WarmUp.TotalSeconds} s of warming up before each timed row, {Time.TotalSeconds} s measured";

    public bool Wants(string row) => Rows.Contains(row);

    /// <summary>Reads the command line.</summary>
    /// <exception cref="FormatException">It is not as <see cref="Usage"/> says; the message names the word.</exception>
    public static BenchArguments Parse(IReadOnlyList<string> words)
    {
        var rows = new HashSet<string>();
        var seconds = (int?)null;
        var parsed = new BenchArguments { Rows = [], Broker = DefaultBroker() };
        for (var i = 0; i < words.Count; i++)
        {
            var word = words[i];
            string Value() => ++i < words.Count ? words[i] : throw new FormatException($"{word} needs a value.");
            switch (word)
            {
                case "--seconds":
                    seconds = int.TryParse(Value(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number is >= 1 and <= 600
                        ? number
                        : throw new FormatException($"--seconds {words[i]}: a whole number from 1 to 600 is wanted.");
                    break;
                case "--store":
                    parsed = parsed with { OnPostgres = Value() switch { "sqlite" => false, "postgres" => true, _ => throw new FormatException($"--store {words[i]}: there are sqlite and postgres.") } };
                    break;
                case "--dispatch":
                    parsed = parsed with { Broker = Path.GetFullPath(Value()) };
                    break;
                case "--work-dir":
                    parsed = parsed with { WorkDirectory = Path.GetFullPath(Value()) };
                    break;
                case "--json":
                    parsed = parsed with { JsonFile = Path.GetFullPath(Value()) };
                    break;
                case "--quick":
                    parsed = parsed with { Quick = true };
                    break;
                case "all":
                    rows.UnionWith(AllRows);
                    break;
                default:
                    if (!AllRows.Contains(word))
                        throw new FormatException($"'{word}' is neither a row nor an option.");

                    rows.Add(word);
                    break;
            }
        }

        return parsed with
        {
            Rows = rows.Count == 0 ? AllRows : [.. AllRows.Where(rows.Contains)],
            Time = TimeSpan.FromSeconds(seconds ?? (parsed.Quick ? 3 : 10)),
        };
    }

    private static string DefaultBroker()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Dispatch.slnx")))
                return Path.Combine(directory.FullName, "artifacts", "dispatch", "dispatch");
        }

        return Path.GetFullPath("artifacts/dispatch/dispatch");
    }
}
