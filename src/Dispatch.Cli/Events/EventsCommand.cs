using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Events;

/// <summary><c>dispatch events ...</c>: the log.</summary>
internal static class EventsCommand
{
    private const int DefaultShown = 100;

    public static Command Create() => new DispatchCommand("events", "Read, follow and replay the log of everything that happened")
    {
        Examples = ["dispatch events tail --type 'task.*'", "dispatch events list --subject 0198c0de-7f00-7000-8000-000000000001", "dispatch events replay --to 5000"],
        Subcommands = { List(), Tail(), Replay() },
    };

    private static DispatchCommand List()
    {
        var after = Position("--after", "Only events behind this sequence number [from the oldest that is kept]");
        var limit = new Option<int?>("--limit") { Description = $"At most so many [{DefaultShown}]", HelpName = "N" };
        limit.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() is < 1)
                result.AddError("--limit must be at least 1");
        });
        var filter = new Filter();
        return new DispatchCommand("list", "List events, oldest first")
        {
            Options = { after, limit, filter.Types, filter.Sources, filter.Subjects, filter.Sessions },
            Examples = ["dispatch events list --type task.failed,task.timed_out", "dispatch events list --after 5000 --limit 20 --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var left = run.Get(limit) ?? DefaultShown;
            var first = run.Get(after);
            var position = first;
            var listing = new Listing(">SEQ", "TIME", "EVENT", "SUBJECT", "BY", "WHAT");
            var shown = 0;
            for (var more = true; more && left > 0;)
            {
                var page = await client.ListEventsAsync(filter.Of(run), position, Math.Min(left, 1000), run.Stop);
                foreach (var warning in position == first ? page.Warnings : [])
                    run.Screen.Note(warning);
                foreach (var happened in page.Events)
                {
                    if (run.Screen.Json)
                        run.Screen.WriteJson(DispatchJson.Write(happened));
                    else
                        listing.Add(happened.Sequence, TaskView.Time(happened.Time), EventView.Type(happened), happened.Subject ?? "-", happened.Actor ?? "-", EventView.Summary(happened));
                }

                shown += page.Events.Count;
                left -= page.Events.Count;
                (position, more) = (page.NextAfter, page.More);
            }

            if (run.Screen.Json)
                return ExitCode.Ok;
            if (shown > 0)
                listing.Write(run.Screen);
            else
                run.Screen.Note("No events match.");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Tail()
    {
        var from = Position("--from", "Begin with this sequence number [with what comes next]");
        var filter = new Filter();
        return new DispatchCommand("tail", "Follow the log as it grows, until Ctrl+C; goes on where it was when the broker comes back")
        {
            Options = { from, filter.Types, filter.Sources, filter.Subjects, filter.Sessions },
            Examples = ["dispatch events tail", "dispatch events tail --from 1 --type 'task.*' --json | jq .data"],
        }.Does(async run =>
        {
            // Asked at once and without patience, so that an absent broker or a wrong filter is told at once.
            using (var brisk = run.Connect())
            {
                foreach (var warning in (await brisk.ListEventsAsync(filter.Of(run), after: long.MaxValue / 2, limit: 1, cancel: run.Stop)).Warnings)
                    run.Screen.Note(warning);
            }

            using var client = run.Connect(patience: TaskWatch.Patience);
            await foreach (var happened in client.FollowEventsAsync(filter.Of(run), run.Get(from) is { } first ? Math.Max(0, first - 1) : null, run.Stop))
            {
                if (run.Screen.Json)
                    run.Screen.WriteJson(DispatchJson.Write(happened));
                else
                    run.Screen.Line(EventView.Line(happened));
            }

            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Replay()
    {
        var to = Position("--to", "The last event to take [all there are]");
        return new DispatchCommand("replay", "Rebuild the state as of an event from the log alone, and show it; reads the store, no broker is needed")
        {
            Options = { to, Operations.Configuration.FileOption },
            Examples = ["dispatch events replay --to 5000", "dispatch events replay --to 5000 --json | jq '.tasks[] | select(.status == \"running\")'"],
        }.Does(run => StoredLogView.ReplayAsync(run, run.Get(to)));
    }

    private static Option<long?> Position(string name, string description)
    {
        var option = new Option<long?>(name) { Description = description, HelpName = "SEQ" };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<long?>() is < 0)
                result.AddError($"{name} must be a sequence number: 0 or more");
        });
        return option;
    }

    /// <summary>The options that say which events are wanted.</summary>
    private sealed class Filter
    {
        public Option<string[]> Types { get; } = Values("--type", "Only these types: exact, or all below a name as in 'task.*'", "TYPE");

        public Option<string[]> Sources { get; } = Values("--source", "Only events of these modules or publishers", "NAME");

        public Option<string[]> Subjects { get; } = Values("--subject", "Only events about these ids", "ID");

        public Option<string[]> Sessions { get; } = Values("--session", "Only events of these sessions", "ID");

        public EventQuery Of(Invocation run) => new()
        {
            Types = run.Get(Types) ?? [],
            Sources = run.Get(Sources) ?? [],
            Subjects = run.Get(Subjects) ?? [],
            Sessions = run.Get(Sessions) ?? [],
        };

        private static Option<string[]> Values(string name, string description, string help) =>
            new(name) { Description = description + "; may be repeated", HelpName = help, AllowMultipleArgumentsPerToken = false };
    }
}
