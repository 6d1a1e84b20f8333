using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Dispatch.Events;

namespace Dispatch.Simulation;

/// <summary>The program: runs seeds, one verbosely, compares runs, or proves that the checks catch what is planted.</summary>
internal static class Command
{
    private const int Operations = 260;

    private const string Usage = """
        Dispatch.Simulation [--seeds N] [--from S] [--steps K] [--jobs J] [--trace FILE]   run N seeds (100)
        Dispatch.Simulation --seed S [--steps K] [--bug NAME]                              run one seed and tell all that happens
        Dispatch.Simulation --seed S --record FILE                                         run one seed and keep its log, a line an event
        Dispatch.Simulation --determinism N                                                run N seeds in two processes and compare
        Dispatch.Simulation --prove                                                        plant each known bug and see it caught
        """;

    public static int Run(string[] args)
    {
        try
        {
            var options = Options.Parse(args);
            if (options.Prove)
                return Proof.Run(options);
            if (options.Determinism > 0)
                return Determinism.Run(options);
            return options.Single is { } seed ? RunOne(seed, options) : RunMany(options);
        }
        catch (FormatException wrong)
        {
            Console.Error.WriteLine(wrong.Message);
            Console.Error.WriteLine(Usage);
            return 2;
        }
    }

    private static int RunOne(long seed, Options options)
    {
        var universe = new Universe(seed, options.Bug, options.Steps, options.Quiet || options.Record is not null ? null : Console.Out);
        var outcome = universe.Run();
        if (options.Record is { } file)
            File.WriteAllLines(file, universe.Disk.Log.Select(Line));
        if (options.Quiet)
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{seed} {outcome.Hash:x16}"));
        else
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"seed {seed}: {outcome.Events} events, {outcome.Steps} steps, trace {outcome.Hash:x16}: {outcome.Violation ?? "sound"}"));
        return outcome.Violation is null ? 0 : 1;
    }

    private static string Line(LogEntry entry)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteNumber("sequence", entry.Sequence);
            json.WriteNumber("timestamp", entry.Timestamp);
            json.WriteString("type", entry.Type);
            json.WriteString("source", entry.Source);
            json.WriteString("subject", entry.Subject);
            json.WriteString("session", entry.Session);
            json.WriteString("actor", entry.Actor);
            json.WriteNumber("caused_by", entry.CausedBy);
            json.WriteNumber("previous", entry.Previous);
            json.WriteString("data", entry.Data.Span);
            json.WriteString("hash", Convert.ToHexStringLower(entry.Hash));
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static int RunMany(Options options)
    {
        var watch = Stopwatch.StartNew();
        using var writer = options.Trace is null ? null : new StreamWriter(options.Trace);
        var rare = new Rare();
        long events = 0;
        var failed = 0;
        foreach (var outcome in Seeds.Run(options, writer))
        {
            rare.Add(outcome.Rare);
            events += outcome.Events;
            if (options.Quiet)
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{outcome.Seed} {outcome.Hash:x16}"));
            if (outcome.Violation is null)
                continue;
            if (++failed <= 5)
                Tell(outcome, options);
        }

        if (options.Quiet)
            return failed == 0 ? 0 : 1;
        var missing = TellRare(rare, options.Seeds);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{options.Seeds} seeds, {events} events, {watch.Elapsed.TotalSeconds:0.0} s, {options.Seeds / watch.Elapsed.TotalSeconds:0} seeds a second"));
        Console.WriteLine($"{options.Seeds - failed} seeds passed, {failed} failed");
        return failed == 0 && missing == 0 ? 0 : 1;
    }

    private static void Tell(Outcome outcome, Options options)
    {
        Console.WriteLine();
        foreach (var line in outcome.Last)
            Console.WriteLine(line);
        Console.WriteLine($"seed {outcome.Seed}, step {outcome.Steps}: {outcome.Violation}");
        Console.WriteLine($"again: dotnet run --project tests/Simulation -c Release -- --seed {outcome.Seed}{(options.Steps == Operations ? "" : $" --steps {options.Steps}")}");
        Console.WriteLine();
    }

    /// <summary>Prints how often each rare situation came up. In a long run each must have, or something is not tested any more.</summary>
    private static int TellRare(Rare rare, int seeds)
    {
        var all = Enum.GetValues<Situation>();
        var never = all.Where(situation => rare[situation] == 0).ToList();
        Console.WriteLine($"rare situations reached: {all.Length - never.Count} of {all.Length}");
        Console.WriteLine("  " + string.Join(", ", all.Where(situation => rare[situation] > 0).OrderBy(situation => rare[situation]).Take(12).Select(situation => $"{situation} {rare[situation]}")) + " ...");
        if (never.Count == 0)
            return 0;
        Console.WriteLine($"never reached: {string.Join(", ", never)}");
        return seeds >= 500 ? never.Count : 0;
    }

    /// <summary>What the program was asked for.</summary>
    internal sealed record Options
    {
        public int Seeds { get; private set; } = 100;

        public long From { get; private set; } = 1;

        public int Steps { get; private set; } = Operations;

        public int Jobs { get; private set; } = Math.Max(1, Environment.ProcessorCount);

        public long? Single { get; private set; }

        public string? Trace { get; private set; }

        public string? Record { get; private set; }

        public Bug Bug { get; private set; }

        public bool Prove { get; private set; }

        public int Determinism { get; private set; }

        /// <summary>Only seed and hash, for another process to read.</summary>
        public bool Quiet { get; private set; }

        public static Options Parse(string[] args)
        {
            var options = new Options();
            for (var i = 0; i < args.Length; i++)
            {
                string Value() => ++i < args.Length ? args[i] : throw new FormatException($"{args[i - 1]} needs a value.");
                int Number() => int.TryParse(Value(), CultureInfo.InvariantCulture, out var number) && number >= 0 ? number : throw new FormatException($"'{args[i]}' is not a number.");
                switch (args[i])
                {
                    case "--seeds": options.Seeds = Number(); break;
                    case "--from": options.From = Number(); break;
                    case "--steps": options.Steps = Number(); break;
                    case "--jobs": options.Jobs = Math.Max(1, Number()); break;
                    case "--seed": options.Single = Number(); break;
                    case "--trace": options.Trace = Value(); break;
                    case "--record": options.Record = Value(); break;
                    case "--prove": options.Prove = true; break;
                    case "--determinism": options.Determinism = Number(); break;
                    case "--hashes": options.Quiet = true; break;
                    case "--bug":
                        options.Bug = Enum.TryParse<Bug>(Value().Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var bug)
                            ? bug : throw new FormatException($"There is no bug '{args[i]}'; there are {string.Join(", ", Enum.GetNames<Bug>())}.");
                        break;
                    default: throw new FormatException($"'{args[i]}' is not known.");
                }
            }

            return options;
        }

        public Options With(Bug bug, int seeds) => this with { Bug = bug, Seeds = seeds, Trace = null };
    }
}
