using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary>A task's history as a person reads it.</summary>
internal static class HistoryView
{
    private const int DataShown = 160;

    public static void Write(Screen screen, IReadOnlyList<TaskEvent> events)
    {
        if (screen.Json)
        {
            screen.WriteJson(DispatchJson.Write(events));
            return;
        }

        var listing = new Listing(">SEQ", "TIME", "EVENT", "BY", "DATA");
        foreach (var happened in events)
        {
            var data = happened.Data.GetRawText();
            listing.Add(happened.Sequence, TaskView.Time(happened.Timestamp), happened.Type, happened.Actor ?? "-",
                data.Length <= DataShown ? data : data[..(DataShown - 3)] + "...");
        }

        listing.Write(screen);
    }
}
