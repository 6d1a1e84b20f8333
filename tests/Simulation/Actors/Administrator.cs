using Dispatch.Agents;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Settings;
using Dispatch.Tasks;

namespace Dispatch.Simulation.Actors;

/// <summary>Drains and resumes agents, makes and revokes tokens, opens and closes sessions, changes settings, removes what is old, reports and cancels in other people's names.</summary>
internal sealed class Administrator(Universe universe, Random random)
{
    private readonly List<string> tokens = [];
    private long sweptTo;
    private int made;

    public async Task RunAsync()
    {
        var weather = universe.Weather;
        while (universe.TakeOperation())
        {
            await universe.DelayAsync(random.NextDouble() * random.Pick([100, 1_500]));
            var interferes = weather.PeopleInterfere ? 2 : 0;
            switch (random.Weighted([interferes, 1, weather.TasksAreRemoved ? 8 : 0, interferes, interferes, 1, 1, weather.SettingsChange ? 2 : 0]))
            {
                case 0:
                    await DrainAsync();
                    break;
                case 1:
                    await HandleTokensAsync();
                    break;
                case 2:
                    await SweepAsync();
                    break;
                case 3:
                    await ReportAsync();
                    break;
                case 4:
                    await universe.Edge.CancelAsync(null, universe.Known.Count == 0 ? default : random.Pick(universe.Known));
                    break;
                case 5:
                    await LookAsync();
                    break;
                case 6:
                    await HandleSessionsAsync();
                    break;
                case 7:
                    await ChangeSettingsAsync();
                    break;
            }
        }
    }

    private async Task DrainAsync()
    {
        var agents = universe.Disk.Agents.Values.ToList();
        if (agents.Count == 0)
            return;
        var agent = random.Pick(agents);
        await universe.Edge.ExecuteAsync(new DrainAgent(agent.Id, Drain: !agent.Drained) { ByAdmin = true });
    }

    private async Task HandleTokensAsync()
    {
        if (tokens.Count > 0 && random.Chance(0.4))
        {
            var reply = await universe.Edge.ExecuteAsync(new RevokeToken(random.Pick(tokens)) { ByAdmin = true });
            if (reply.Value is { RevokedAt: not null })
                universe.Reached(Situation.TokenRevoked);
            return;
        }

        var id = $"token-{made++}";
        tokens.Add(id);
        await universe.Edge.ExecuteAsync(new CreateToken(id, $"hash of {id}", "agent-0", random.Chance(0.5) ? "a name" : null, random.Chance(0.5) ? 60_000 : null) { ByAdmin = true });
    }

    // Few ids, so that one is opened again after it was closed.
    private async Task HandleSessionsAsync()
    {
        var id = $"session-{random.Next(3)}";
        if (random.Chance(0.3))
            await universe.Edge.ExecuteAsync(new CloseSession(id) { ByAdmin = true });
        else
            await universe.Edge.ExecuteAsync(new OpenSession(id, random.Chance(0.5) ? "a name" : null, $"hash {made++} of {id}", random.Pick([50, 2_000, 86_400_000])) { ByAdmin = true });
    }

    // Leases never get shorter than what the workers and the checks go by.
    private async Task ChangeSettingsAsync()
    {
        var started = universe.Weather.State;
        var options = started with
        {
            LeaseMs = started.LeaseMs * random.Pick([1, 2]),
            ReapAfterMs = started.ReapAfterMs * random.Pick([1, 2]),
            WakeTimeoutMs = random.Pick([started.WakeTimeoutMs, 1_000]),
            AgingMs = random.Pick([started.AgingMs, 50, 5_000]),
            OwnerFilter = random.Chance(0.5),
            RetryBaseMs = random.Pick([started.RetryBaseMs, 10]),
            Allowances = started.Allowances with { },
        };
        var reply = await universe.Edge.ExecuteAsync(new ChangeSettings(options, ["agents.lease_ms"], []));
        universe.Reached(reply.IsAnswered ? Situation.SettingsChanged : Situation.SettingsChangeRefused);
    }

    /// <summary>One step of the retention sweep, as the host does it.</summary>
    private async Task SweepAsync()
    {
        var before = universe.Now - random.Next(5_000);
        await universe.Edge.RequestAsync(async broker =>
        {
            var asOf = broker.CommittedSequence;
            var (expired, next) = await broker.Store.FindExpiredAsync(sweptTo, before, 50, CancellationToken.None);
            sweptTo = next;
            if (expired.Count == 0)
                return 0;
            var removed = await broker.ExecuteAsync(new PruneTasks(expired, asOf));
            universe.Reached(removed < expired.Count ? Situation.RemovalOutOfDate : Situation.Removed);
            return removed;
        });
    }

    private async Task ReportAsync()
    {
        if (universe.Known.Count == 0)
            return;
        var id = random.Pick(universe.Known);
        TaskReport report = random.Next(3) switch
        {
            0 => new TaskReport.Failed(id, null, "ended by hand", random.Chance(0.5), null, null),
            1 => new TaskReport.Released(id, null, "handed back by hand"),
            _ => new TaskReport.Progressed(id, null, 50, "looked at", null),
        };
        var reply = await universe.Edge.ReportAsync("someone", report, byAdmin: true);
        if (reply.Value == ReportVerdict.Accepted && reply.IsAnswered)
            universe.Reached(Situation.ReportByAdmin);
    }

    private async Task LookAsync()
    {
        var stats = await universe.Edge.ExecuteAsync(new ReadStats());
        if (stats is { IsAnswered: true, Value: { OldestPendingMs: < 0 } value })
            universe.Fail("stats", $"The oldest task waits for {value.OldestPendingMs} ms.");
        await universe.Edge.ExecuteAsync(new ListAgents());
        await universe.Edge.ExecuteAsync(new ListTokens());
        await universe.Edge.ExecuteAsync(new ListSessions());
    }
}
