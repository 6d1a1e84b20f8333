using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Spectre.Console;

namespace Dispatch.Cli.Doctor;

/// <summary><c>dispatch doctor</c>: is the store sound, and the machine fit for a broker.</summary>
internal static class DoctorCommand
{
    private const int DetailsShown = 50;

    public static Command Create() => new DispatchCommand("doctor", "Check the store against its own log, and the machine it is on; exit 1 when something is wrong")
    {
        Options = { Operations.Configuration.FileOption },
        Examples = ["dispatch doctor", "dispatch doctor --data-dir /var/lib/dispatch --json"],
    }.Does(async run =>
    {
        var findings = new List<Finding>();
        await foreach (var finding in new Examination(run).RunAsync())
        {
            findings.Add(finding);
            if (!run.Screen.Json)
                Write(run.Screen, finding);
        }

        var sound = findings.TrueForAll(finding => finding.Status != Finding.Fault);
        if (run.Screen.Json)
            run.Screen.WriteJson(CliJson.Write(new FindingsBody(sound, findings)));
        var warnings = findings.Count(finding => finding.Status == Finding.Warning);
        run.Screen.Line(!sound ? "something is wrong; see above" : warnings == 0 ? "all is well" : $"nothing is wrong; {Plural.Of(warnings, "warning")} above");
        return sound ? ExitCode.Ok : ExitCode.Failed;
    });

    private static void Write(Screen screen, Finding finding)
    {
        var colour = finding.Status switch { Finding.Fine => Color.Green, Finding.Warning => Color.Yellow, _ => Color.Red };
        screen.Output.Write(new Text($"{finding.Status,-8}", new Style(colour)));
        screen.Output.WriteLine($"{finding.Check,-10} {TerminalText.Line(finding.Message)}");
        foreach (var detail in (finding.Details ?? []).Take(DetailsShown))
            screen.Output.WriteLine("           " + TerminalText.Line(detail));
        if (finding.Details?.Count > DetailsShown)
            screen.Output.WriteLine($"           and {finding.Details.Count - DetailsShown} more; all of them with --json");
        if (finding.Next is not null)
            screen.Output.WriteLine("           " + TerminalText.Line(finding.Next));
    }
}
