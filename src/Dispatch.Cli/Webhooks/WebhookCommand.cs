using System.CommandLine;
using System.Globalization;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Webhooks;

/// <summary><c>dispatch webhook ...</c>: who outside is told of events.</summary>
internal static class WebhookCommand
{
    public static Command Create() => new DispatchCommand("webhook", "Have events delivered to receivers outside")
    {
        Examples = ["dispatch webhook create --url https://example.org/dispatch --type 'task.*'", "dispatch webhook list", "dispatch webhook test whk_1"],
        Subcommands = { Make(), List(), Show(), Update(), Delete(), Test(), Rotate(), Enable(), Deliveries() },
    };

    private static DispatchCommand Make()
    {
        var url = new Option<string>("--url") { Description = "Where events go: http or https", HelpName = "URL", Required = true };
        var description = new Option<string?>("--description") { Description = "A note for the list", HelpName = "TEXT" };
        var filter = new FilterOptions();
        return new DispatchCommand("create", "Make a webhook; its secret is shown this once")
        {
            Options = { url, description, filter.Types, filter.Sources, filter.Subjects, filter.Sessions },
            Examples =
            [
                "dispatch webhook create --url https://example.org/dispatch --type task.completed --type task.dead_lettered",
                "dispatch webhook create --url https://example.org/dispatch --session s-1 --description 'The portal' --json",
            ],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var made = await client.CreateWebhookAsync(new WebhookChange { Url = run.Get(url), Description = run.Get(description), Filter = filter.Read(run) }, run.Stop);
            return TellSecret(run, made);
        });
    }

    private static DispatchCommand List() => new DispatchCommand("list", "List webhooks")
    {
        Examples = ["dispatch webhook list", "dispatch webhook list --json"],
    }.Does(async run =>
    {
        using var client = run.Connect();
        var webhooks = await client.ListWebhooksAsync(run.Stop);
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(DispatchJson.Write(webhooks));
            return ExitCode.Ok;
        }

        if (webhooks.Count == 0)
        {
            run.Screen.Note("No webhooks. Make one with: dispatch webhook create --url URL");
            return ExitCode.Ok;
        }

        var listing = new Listing("ID", "STATUS", "LAG", "FAILING SINCE", "URL");
        foreach (var webhook in webhooks)
            listing.Add(webhook.Id, webhook.Status, Text(webhook.Lag), TaskView.Time(webhook.FailingSince) ?? "-", webhook.Url);
        listing.Write(run.Screen);
        return ExitCode.Ok;
    });

    private static DispatchCommand Show() => One("show", "Show a webhook and how far it has come", (client, id, stop) => client.GetWebhookAsync(id, stop));

    private static DispatchCommand Enable() => One("enable", "Have the deliveries of a disabled webhook go on from where they stopped", (client, id, stop) => client.EnableWebhookAsync(id, stop));

    private static DispatchCommand Update()
    {
        var id = Id();
        var url = new Option<string?>("--url") { Description = "Where events go from now on", HelpName = "URL" };
        var description = new Option<string?>("--description") { Description = "A note for the list; empty for none", HelpName = "TEXT" };
        var everything = new Option<bool>("--no-filter") { Description = "Be told of every event" };
        var filter = new FilterOptions();
        return new DispatchCommand("update", "Change a webhook; a filter that is given replaces the one before")
        {
            Arguments = { id },
            Options = { url, description, filter.Types, filter.Sources, filter.Subjects, filter.Sessions, everything },
            Examples = ["dispatch webhook update whk_1 --type 'task.*' --type agent.offline", "dispatch webhook update whk_1 --url https://example.org/other"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var change = new WebhookChange { Url = run.Get(url), Description = run.Get(description), Filter = run.Get(everything) ? new WebhookFilter() : filter.Read(run) };
            Tell(run, await client.UpdateWebhookAsync(run.Get(id), change, run.Stop));
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Delete()
    {
        var id = Id();
        return new DispatchCommand("delete", "Remove a webhook and its history")
        {
            Arguments = { id },
            Examples = ["dispatch webhook delete whk_1"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            await client.DeleteWebhookAsync(run.Get(id), run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(CliJson.Write(new DeletedBody(run.Get(id), Deleted: true)));
            run.Screen.Line($"{run.Get(id)} deleted");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand Test()
    {
        var id = Id();
        return new DispatchCommand("test", "Send a test event now and tell what came of it")
        {
            Arguments = { id },
            Examples = ["dispatch webhook test whk_1"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var told = await client.TestWebhookAsync(run.Get(id), run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(told));
            run.Screen.Line($"{told.EventId}: {Outcome(told)} in {Text((long)told.Duration.TotalMilliseconds)} ms");
            return told.Delivered ? ExitCode.Ok : ExitCode.Failed;
        });
    }

    private static DispatchCommand Rotate()
    {
        var id = Id();
        var overlap = Durations.Option("--overlap", "How long the secret before signs too; 24h when left out");
        return new DispatchCommand("rotate", "Give a webhook a new secret; it is shown this once")
        {
            Arguments = { id },
            Options = { overlap },
            Examples = ["dispatch webhook rotate whk_1", "dispatch webhook rotate whk_1 --overlap 1h"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            return TellSecret(run, await client.RotateWebhookSecretAsync(run.Get(id), run.Get(overlap), run.Stop));
        });
    }

    private static DispatchCommand Deliveries()
    {
        var id = Id();
        var limit = Numbers.Option("--limit", "At most this many", 1, 1_000, 20);
        return new DispatchCommand("deliveries", "List the attempts to deliver, newest first")
        {
            Arguments = { id },
            Options = { limit },
            Examples = ["dispatch webhook deliveries whk_1", "dispatch webhook deliveries whk_1 --limit 100 --json"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var deliveries = await client.ListWebhookDeliveriesAsync(run.Get(id), run.Get(limit), run.Stop);
            if (run.Screen.Json)
            {
                run.Screen.WriteJson(DispatchJson.Write(deliveries));
                return ExitCode.Ok;
            }

            var listing = new Listing("EVENT", "ATTEMPT", "AT", "MS", "OUTCOME");
            foreach (var delivery in deliveries)
                listing.Add(delivery.EventId, Text(delivery.Attempt ?? 0), TaskView.Time(delivery.At) ?? "-", Text((long)delivery.Duration.TotalMilliseconds), Outcome(delivery));
            listing.Write(run.Screen);
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand One(string name, string summary, Func<DispatchClient, string, CancellationToken, Task<Webhook>> ask)
    {
        var id = Id();
        return new DispatchCommand(name, summary)
        {
            Arguments = { id },
            Examples = [$"dispatch webhook {name} whk_1"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            Tell(run, await ask(client, run.Get(id), run.Stop));
            return ExitCode.Ok;
        });
    }

    private static Argument<string> Id() => new("ID") { Description = "The webhook's id, from the list" };

    private static int TellSecret(Invocation run, Webhook webhook)
    {
        if (run.Screen.Json)
            run.Screen.WriteJson(DispatchJson.Write(webhook));
        run.Screen.Line(webhook.Secret ?? "");
        if (!run.Screen.Json)
            run.Screen.Note($"This is the only time the secret is shown. The webhook's id is {webhook.Id}; try it with: dispatch webhook test {webhook.Id}");
        return ExitCode.Ok;
    }

    private static void Tell(Invocation run, Webhook webhook)
    {
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(DispatchJson.Write(webhook));
            return;
        }

        Line("id", webhook.Id);
        Line("url", webhook.Url);
        Line("description", webhook.Description);
        Line("types", List(webhook.Filter?.Types));
        Line("sources", List(webhook.Filter?.Sources));
        Line("subjects", List(webhook.Filter?.Subjects));
        Line("sessions", List(webhook.Filter?.Sessions));
        Line("status", $"{webhook.Status} since {TaskView.Time(webhook.StatusAt)}");
        Line("reason", webhook.DisabledReason);
        Line("cursor", $"{Text(webhook.Cursor)}, {Text(webhook.Lag)} behind");
        Line("failing since", TaskView.Time(webhook.FailingSince));
        Line("last error", webhook.LastError);
        Line("next attempt", TaskView.Time(webhook.NextAttemptAt));
        Line("old secret", webhook.PreviousSecretUntil is { } until ? $"signs until {TaskView.Time(until)}" : null);

        void Line(string name, string? value)
        {
            if (value is not null)
                run.Screen.Line($"{name,-14} {value}");
        }
    }

    private static string Outcome(WebhookDelivery delivery) =>
        delivery.Delivered ? $"delivered, HTTP {Text(delivery.Status ?? 0)}" : delivery.Error ?? "failed";

    private static string? List(IReadOnlyList<string>? values) => values is { Count: > 0 } ? string.Join(", ", values) : null;

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private sealed class FilterOptions
    {
        public Option<string[]> Types { get; } = new("--type") { Description = "A type of event, or all below a name as in task.*; may repeat", HelpName = "TYPE" };

        public Option<string[]> Sources { get; } = new("--source") { Description = "A module that raises them; may repeat", HelpName = "NAME" };

        public Option<string[]> Subjects { get; } = new("--subject") { Description = "Id of what they are about; may repeat", HelpName = "ID" };

        public Option<string[]> Sessions { get; } = new("--session") { Description = "Id of a session; may repeat", HelpName = "ID" };

        /// <summary>Null when none is given.</summary>
        public WebhookFilter? Read(Invocation run)
        {
            var filter = new WebhookFilter { Types = Some(run.Get(Types)), Sources = Some(run.Get(Sources)), Subjects = Some(run.Get(Subjects)), Sessions = Some(run.Get(Sessions)) };
            return filter == new WebhookFilter() ? null : filter;
        }

        private static string[]? Some(string[]? values) => values is { Length: > 0 } ? values : null;
    }
}

/// <summary>A removal for a machine.</summary>
internal sealed record DeletedBody(string Id, bool Deleted);
