using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary>An explanation as a person reads it.</summary>
internal static class ExplanationView
{
    public static void Write(Screen screen, TaskExplanation explanation)
    {
        if (screen.Json)
        {
            screen.WriteJson(DispatchJson.Write(explanation));
            return;
        }

        // Of a task that has ended, the message is about its state already.
        var message = explanation.Message ?? explanation.Reason ?? "no reason given";
        screen.Line(explanation.Reason == "final" ? message : $"{explanation.Status}: {message}");
        foreach (var id in explanation.WaitingOn)
            screen.Line($"  waits for {id}");

        if (explanation.Assignment is { } chosen)
        {
            screen.Line();
            screen.Line($"attempt {chosen.Attempt} went to {chosen.Agent}, the best of {chosen.Candidates}:");
            screen.Line($"  score {chosen.Score:0.###} = capability match {chosen.CapabilityMatch:0.##} x availability {chosen.Availability:0.##} x priority {chosen.PriorityWeight:0.##}, load {chosen.Active} of {chosen.MaxConcurrent}");
        }

        if (explanation.Candidates.Count == 0)
            return;
        screen.Line();
        var listing = new Listing("AGENT", "CAN", ">SCORE", ">MATCH", ">AVAIL", ">PRIO", ">LOAD", "WHY NOT");
        foreach (var candidate in explanation.Candidates)
        {
            listing.Add(candidate.Agent, candidate.Eligible ? "yes" : "no", candidate.Score?.ToString("0.###") ?? "-", candidate.CapabilityMatch.ToString("0.##"),
                candidate.Availability.ToString("0.##"), candidate.PriorityWeight.ToString("0.##"), $"{candidate.Active}/{candidate.MaxConcurrent}", candidate.Reason);
        }

        listing.Write(screen);
        foreach (var candidate in explanation.Candidates.Where(candidate => candidate.Limit is not null && candidate.Limit != explanation.Message))
            screen.Line($"{candidate.Agent}: {candidate.Limit}");
    }
}
