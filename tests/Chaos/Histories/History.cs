namespace Dispatch.Chaos.Histories;

/// <summary>An invocation with what became of it.</summary>
/// <param name="End">Ok, Refused or Unknown.</param>
/// <param name="ReturnedAt">Microseconds; <see cref="long.MaxValue"/> when unknown, since it may take effect at any later time.</param>
public sealed record Operation(
    string Id, string Actor, Invocation Invocation, long InvokedAt, Phase End, long ReturnedAt, Answer? Answer = null, string? Code = null)
{
    public bool MayHaveHappened => End is Phase.Ok or Phase.Unknown;

    /// <summary>It ended before the other began, so the other must see it.</summary>
    public bool IsBefore(Operation other) => ReturnedAt < other.InvokedAt;
}

/// <summary>Everything that all actors asked for and were told.</summary>
public sealed class History
{
    /// <summary>Lines in any order; an invocation without an answer is unknown.</summary>
    public History(IEnumerable<HistoryLine> lines)
    {
        var open = new Dictionary<string, HistoryLine>();
        var operations = new List<Operation>();
        foreach (var line in lines)
        {
            if (line.Phase == Phase.Invoke)
                open.Add(line.Op, line);
            else if (open.Remove(line.Op, out var invoked))
                operations.Add(Close(invoked, line));
            else
                throw new InvalidDataException($"History line {line.Op} answers nothing.");
        }

        operations.AddRange(open.Values.Select(invoked => Close(invoked, invoked with { Phase = Phase.Unknown })));
        operations.Sort((left, right) => left.InvokedAt.CompareTo(right.InvokedAt));
        Operations = operations;
        Reports = operations.SelectMany(Flatten).ToList();
    }

    /// <summary>In the order in which they were invoked.</summary>
    public IReadOnlyList<Operation> Operations { get; }

    /// <summary>Every report, whichever way it was sent.</summary>
    public IReadOnlyList<ReportedAttempt> Reports { get; }

    public IEnumerable<(Operation Operation, T What)> Of<T>()
        where T : Invocation =>
        Operations.Where(operation => operation.Invocation is T).Select(operation => (operation, (T)operation.Invocation));

    /// <summary>Reads every actor's file. A last line that was cut off is dropped: its actor never acted on it.</summary>
    public static History Read(string directory)
    {
        var lines = new List<HistoryLine>();
        foreach (var file in Directory.EnumerateFiles(directory, "*.jsonl").Order(StringComparer.Ordinal))
        {
            var text = File.ReadAllText(file);
            lines.AddRange(text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(HistoryLine.Parse));
        }

        return new History(lines);
    }

    private static Operation Close(HistoryLine invoked, HistoryLine line) => new(
        line.Op, line.Actor, invoked.Invocation ?? throw new InvalidDataException($"History line {line.Op} invokes nothing."), invoked.AtUs,
        line.Phase, line.Phase == Phase.Unknown ? long.MaxValue : line.AtUs, line.Answer, line.Code);

    private static IEnumerable<ReportedAttempt> Flatten(Operation operation) => operation.Invocation switch
    {
        Invocation.Post post => [new ReportedAttempt(operation, post.Report, operation.End)],
        Invocation.Exchange exchange => exchange.Reports.Select((report, index) =>
            new ReportedAttempt(operation, report, operation.Answer is Answer.Exchanged answer ? PhaseOf(answer.Statuses[index]) : operation.End)),
        _ => [],
    };

    private static Phase PhaseOf(string status) => status is "accepted" or "unchanged" ? Phase.Ok : Phase.Refused;
}

/// <summary>A report with what the broker said to it.</summary>
public sealed record ReportedAttempt(Operation Operation, Report Report, Phase End);
