namespace Dispatch.Cli.Demo;

/// <summary>One of the demo's workers: a real <c>dispatch worker</c> around a real program.</summary>
/// <param name="Id">Its agent id.</param>
/// <param name="Capabilities">What it can do.</param>
/// <param name="Max">Tasks at once.</param>
/// <param name="Exec">The program.</param>
/// <param name="Character">What is special about it.</param>
internal sealed record DemoWorker(string Id, IReadOnlyList<string> Capabilities, int Max, string Exec, string Character)
{
    /// <summary>The one that is killed half-way.</summary>
    public const string Victim = "hasher";

    /// <summary>More flags.</summary>
    public IReadOnlyList<string> Flags { get; init; } = [];

    /// <summary>The five of them.</summary>
    /// <param name="directory">Where the scripts are.</param>
    public static IReadOnlyList<DemoWorker> All(string directory) =>
    [
        new("counter", [DemoTask.Lines], 4, "wc -l -- {context.path}", "runs wc"),
        new("measurer", [DemoTask.Longest], 3, $"awk '{LongestLine}' {{context.path}}", "runs awk"),
        new(Victim, [DemoTask.Hash], 6, $"sh {Quoted(directory, "slow-hash.sh")} {{context.path}}", "takes its time, and will be killed half-way"),
        new("flaky", [DemoTask.Lines, DemoTask.Longest, DemoTask.Hash], 4, $"sh {Quoted(directory, "flaky.sh")} {{context.kind}} {{context.path}}", "fails every fourth time"),
        new("sleeper", [DemoTask.Hash, DemoTask.Report], 2, $"sh {Quoted(directory, "report.sh")} {{context.kind}} {{context.path}}", "sleeps when idle, and needs two seconds to wake")
        {
            Flags = ["--sleep-after", "500ms", "--warm-up", "sleep 2"],
        },
    ];

    /// <summary>The arguments of its process.</summary>
    public IEnumerable<string> Arguments(Uri server) =>
    [
        "worker", "--server", server.AbsoluteUri, "--id", Id, "--max", Max.ToString(), "--exec", Exec, "--grace", "2s",
        .. Capabilities.SelectMany(capability => new[] { "--capability", capability }), .. Flags,
    ];

    /// <summary>Writes the programs that are more than one word.</summary>
    public static void WriteScripts(string directory)
    {
        Write("slow-hash.sh", """
            # Hashing is quick; this makes it slow enough for somebody to be killed while at it.
            sleep 0.1
            exec sha256sum -- "$1"
            """);
        Write("one.sh", $$"""
            case $1 in
              {{DemoTask.Lines}}) exec wc -l -- "$2" ;;
              {{DemoTask.Longest}}) exec awk '{{LongestLine}}' "$2" ;;
              {{DemoTask.Hash}}) exec sha256sum -- "$2" ;;
              *) echo "do not know how to do $1" >&2; exit 1 ;;
            esac
            """);
        Write("flaky.sh", $$"""
            # The same attempt at the same task always goes the same way.
            dice=$(printf '%s %s' "$DISPATCH_TASK_ID" "$DISPATCH_ATTEMPT" | cksum)
            if [ $(( ${dice%% *} % 4 )) -eq 0 ]; then
              echo "not in the mood for $1" >&2
              exit 75
            fi
            exec sh '{{directory}}/one.sh' "$@"
            """);
        Write("report.sh", $$"""
            if [ "$1" = {{DemoTask.Report}} ]; then
              exec {{string.Join(' ', OwnExecutable.Words.Select(word => $"'{word}'"))}} demo-report
            fi
            exec sh '{{directory}}/one.sh' "$@"
            """);

        void Write(string name, string script) => File.WriteAllText(Path.Combine(directory, name), script.ReplaceLineEndings("\n") + "\n");
    }

    private const string LongestLine = "{ if (length($0) > longest) longest = length($0) } END { print longest + 0 }";

    private static string Quoted(string directory, string name) => $"'{Path.Combine(directory, name)}'";
}
