using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;

namespace Dispatch.Cli.Tasks;

/// <summary>What became of a file of tasks so far.</summary>
/// <param name="Submitted">Tasks the broker has taken.</param>
/// <param name="SeenBefore">Tasks that were there already, by their ids or keys.</param>
/// <param name="BytesRead">How far the file was read.</param>
/// <param name="Fault">What stopped it; null when nothing did.</param>
internal sealed record SubmitSummary(int Submitted, int SeenBefore, long BytesRead, CommandFault? Fault)
{
    /// <summary>The tasks' ids in the order of the file.</summary>
    public IReadOnlyList<string> Ids { get; init; } = [];

    /// <summary>How many ended in which state, when they were waited for.</summary>
    public IReadOnlyDictionary<string, int>? Ended { get; init; }

    /// <summary>Tells a person or a machine.</summary>
    public void Write(Screen screen)
    {
        if (screen.Json)
        {
            var error = Fault is null ? null : new FaultBody(Fault.Code, Fault.Message, Fault.ExitCode, Fault.Next, Fault.Details);
            screen.WriteJson(CliJson.Write(new SummaryBody(Submitted, SeenBefore, Ids, Ended, error)));
        }

        screen.Line($"{Submitted} submitted" + (SeenBefore > 0 ? $", {SeenBefore} were there before" : ""));
        if (Ended is not null)
            screen.Line(string.Join(", ", Ended.Select(state => $"{state.Value} {state.Key}")));
        if (Fault is null)
            return;

        screen.Note($"dispatch: {Fault.Message}");
        foreach (var detail in Fault.Details.Take(20))
            screen.Note($"  {detail}");
        if (Fault.Details.Count > 20)
            screen.Note($"  and {Fault.Details.Count - 20} more");
        if (Fault.Next is not null)
            screen.Note(Fault.Next);
    }
}

/// <summary>A summary for a machine.</summary>
internal sealed record SummaryBody(int Submitted, int SeenBefore, IReadOnlyList<string> Ids, IReadOnlyDictionary<string, int>? Ended, FaultBody? Error);
