using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Events;

/// <summary>An event of the log as a person reads it.</summary>
internal static class EventView
{
    private const string Prefix = "dispatch.";
    private const int Shown = 100;

    public static string Type(LoggedEvent happened) =>
        happened.Type.StartsWith(Prefix, StringComparison.Ordinal) ? happened.Type[Prefix.Length..] : happened.Type;

    public static string Summary(LoggedEvent happened) => TerminalText.Short(
        HistoryView.Summary(new TaskEvent { Type = Type(happened), Data = happened.Data }), Shown);

    public static string Line(LoggedEvent happened) =>
        $"{happened.Sequence,8}  {happened.Time.ToLocalTime():HH:mm:ss.fff}  {Type(happened),-22}  {happened.Subject}  {Summary(happened)}".TrimEnd();
}
