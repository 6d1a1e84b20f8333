using System.Globalization;
using System.Net.WebSockets;
using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Dispatch.Events;
using Dispatch.Host.Configuration;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;

namespace Dispatch.Api.Tests.Streams;

/// <summary>Who sees what, by which way out of the log: every combination, each told by name.</summary>
public sealed class PermissionTests(PermissionTests.Watched watched) : IClassFixture<PermissionTests.Watched>
{
    public enum WayOut
    {
        Page,
        Stream,
        Socket,
        Cursor,
    }

    public enum Role
    {
        Owner,
        Guest,
        System,
        AgentWithToken,
        AgentWithoutToken,
        ForgedToken,
        ClosedSession,
    }

    public enum Of
    {
        OwnSession,
        ForeignSession,
        NoSession,
    }

    public static TheoryData<WayOut, Role, Of, bool> All
    {
        get
        {
            var all = new TheoryData<WayOut, Role, Of, bool>();
            foreach (var way in Enum.GetValues<WayOut>())
            {
                foreach (var role in Enum.GetValues<Role>().Where(role => IsPossible(way, role)))
                {
                    foreach (var of in Enum.GetValues<Of>())
                    {
                        all.Add(way, role, of, false);
                        all.Add(way, role, of, true);
                    }
                }
            }

            return all;
        }
    }

    [Theory]
    [MemberData(nameof(All))]
    public async Task What_is_permitted_is_seen_and_nothing_else(WayOut way, Role role, Of of, bool isInternal)
    {
        var expected = role switch
        {
            Role.System => true,
            Role.Owner => !isInternal,
            Role.Guest => !isInternal && of == Of.OwnSession,
            _ => false,
        };

        var seen = await watched.SeenAsync(way, role);

        var wanted = watched.Events[(of, isInternal)];
        Assert.Equal(expected, seen?.Contains(wanted) ?? false);
        Assert.Equal(role is Role.Owner or Role.Guest or Role.System, seen is not null);
    }

    [Theory]
    [InlineData("session=foreign")]
    [InlineData("session=foreign,nowhere")]
    [InlineData("session=nowhere")]
    [InlineData("subject=foreign")]
    [InlineData("type=session.token_made")]
    [InlineData("type=token.*&source=agents")]
    [InlineData("type=no.such")]
    public async Task No_filter_widens_what_a_guest_sees(string query)
    {
        var page = await watched.Client(Role.Guest).GetAsync($"/api/v1/events?{query}");

        var nothing = await watched.Client(Role.Guest).GetAsync("/api/v1/events?session=never-heard-of");
        Assert.Equal(nothing.Text, page.Text);
        Assert.Empty(page.Expect(200).Items("events"));
    }

    [Fact]
    public async Task A_guest_is_told_how_far_it_was_looked_and_not_how_far_the_log_goes()
    {
        var page = (await watched.Client(Role.Guest).GetAsync("/api/v1/events?limit=1")).Expect(200);

        Assert.True(page.GetProperty("more").GetBoolean());
        Assert.Equal(Sequence(page.Items("events")[0]), page.GetProperty("head").GetInt64());
        Assert.Equal(page.GetProperty("head").GetInt64(), page.GetProperty("next_after").GetInt64());
    }

    [Fact]
    public async Task Nothing_that_a_guest_reads_holds_a_hash()
    {
        var page = (await watched.Client(Role.Guest).GetAsync("/api/v1/events?type=session.*")).Expect(200);

        Assert.Equal(["expires_at", "name"], Assert.Single(page.Items("events")).GetProperty("data").EnumerateObject().Select(member => member.Name).Order(StringComparer.Ordinal));
    }

    // Parts of the broker itself are in the process; what has to show a token is not.
    private static bool IsPossible(WayOut way, Role role) => way == WayOut.Cursor ? role is Role.Owner or Role.Guest or Role.System : role != Role.System;

    private static long Sequence(JsonElement happened) => long.Parse(happened.Text("sequence"), CultureInfo.InvariantCulture);

    /// <summary>A broker in whose log there is one event of each kind that matters, and what each role saw of it by each way.</summary>
    public sealed class Watched : IAsyncLifetime
    {
        private readonly Dictionary<(WayOut, Role), Task<IReadOnlySet<long>?>> looks = [];
        private readonly Dictionary<Role, (string? Agent, string? Bearer)> callers = [];
        private readonly Lock looking = new();
        private TestBroker broker = null!;
        private SseReader follower = null!;
        private long end;

        public Dictionary<(Of Session, bool IsInternal), long> Events { get; } = [];

        public async Task InitializeAsync()
        {
            broker = await TestBroker.StartAsync(config => config with { Auth = new AuthSettings { Mode = AuthMode.Token } });

            // While somebody follows, the newest events are in memory: HTTP reads them there, the cursor in the process from the store.
            follower = await SseReader.OpenAsync(broker, "after=0");
            var own = await OpenAsync("own");
            await OpenAsync("foreign");
            var closed = await OpenAsync("closed");
            (await broker.Admin.DeleteAsync("/api/v1/sessions/closed")).Expect(200);
            var alice = (await broker.Admin.PostAsync("/api/v1/tokens", new { agent_id = "alice" })).Expect(201).Text("token");
            foreach (var session in new[] { "own", "foreign", null })
                (await broker.Admin.PostAsync("/api/v1/tasks", new { title = "work", session })).Expect(201);

            // The last event of all, for whoever reads on: everything before it has been looked at.
            (await broker.Admin.PostAsync("/api/v1/tasks", new { title = "the end", session = "own" })).Expect(201);

            callers[Role.Owner] = ("admin", TestBroker.AdminSecret);
            callers[Role.Guest] = (null, own);
            callers[Role.AgentWithToken] = ("alice", alice);
            callers[Role.AgentWithoutToken] = ("alice", null);
            callers[Role.ForgedToken] = (null, "dsg_" + new string('A', 43));
            callers[Role.ClosedSession] = (null, closed);
            await using var store = OpenStore();
            Note(await store.ListEventsAsync(0, 1_000, CancellationToken.None));
        }

        public async Task DisposeAsync()
        {
            follower.Dispose();
            await broker.DisposeAsync();
        }

        public ApiClient Client(Role role) => broker.As(callers[role].Agent, callers[role].Bearer);

        /// <summary>The events that it was shown; null when it was let in nowhere.</summary>
        public Task<IReadOnlySet<long>?> SeenAsync(WayOut way, Role role)
        {
            lock (looking)
            {
                if (!looks.TryGetValue((way, role), out var look))
                    looks[(way, role)] = look = LookAsync(way, role);
                return look;
            }
        }

        private void Note(IReadOnlyList<LogEntry> log)
        {
            foreach (var entry in log)
            {
                var of = entry.Session switch { "own" => Of.OwnSession, "foreign" => Of.ForeignSession, null => Of.NoSession, _ => (Of?)null };
                if (of is { } session && entry.Type is "task.created" or "session.token_made" or "token.created")
                    Events.TryAdd((session, entry.Type != "task.created"), entry.Sequence);
            }

            Assert.Equal(6, Events.Count);
            end = log.Last(entry => entry.Type == "task.created").Sequence;
        }

        private async Task<IReadOnlySet<long>?> LookAsync(WayOut way, Role role) => way switch
        {
            WayOut.Page => await PageAsync(role),
            WayOut.Stream => await StreamAsync(role),
            WayOut.Socket => await SocketAsync(role),
            _ => await CursorAsync(role),
        };

        private async Task<IReadOnlySet<long>?> PageAsync(Role role)
        {
            var page = await Client(role).GetAsync("/api/v1/events?limit=1000");
            return IsRefused(role, page.Status) ? null : page.Expect(200).Items("events").Select(Sequence).ToHashSet();
        }

        private async Task<IReadOnlySet<long>?> StreamAsync(Role role)
        {
            if (role is not (Role.Owner or Role.Guest))
            {
                Assert.True(IsRefused(role, (await Client(role).GetAsync("/api/v1/events/stream?after=0")).Status));
                return null;
            }

            var seen = new HashSet<long>();
            using var stream = await SseReader.OpenAsync(broker, "after=0", bearer: callers[role].Bearer);
            await stream.UntilAsync(happened => seen.Add(Sequence(happened.Data)) && seen.Contains(end));
            return seen;
        }

        private async Task<IReadOnlySet<long>?> SocketAsync(Role role)
        {
            var seen = new HashSet<long>();
            try
            {
                using var socket = await GuestSocket.OpenAsync(broker, callers[role].Bearer, "after=0", callers[role].Agent);
                while (!seen.Contains(end))
                    seen.Add(Sequence(Assert.NotNull(await socket.NextAsync())));
                return seen;
            }
            catch (WebSocketException refused) when (refused.Data["status"] is int status)
            {
                Assert.True(IsRefused(role, status));
                return null;
            }
        }

        // The way that everything in the process takes, on the log that the broker wrote.
        private async Task<IReadOnlySet<long>?> CursorAsync(Role role)
        {
            var sight = role switch
            {
                Role.Guest => EventSight.Guest("own"),
                Role.System => EventSight.System,
                _ => EventSight.Owner,
            };
            await using var store = OpenStore();
            var feed = new EventFeed(store);
            feed.Start(end);
            using var cursor = feed.Follow(sight, EventFilter.All, 0);
            var seen = new HashSet<long>();
            while (cursor.Lag > 0)
                seen.UnionWith((await cursor.ReadAsync(100, CancellationToken.None)).Select(happened => happened.Sequence));
            return seen;
        }

        private SqliteStore OpenStore() => SqliteStore.OpenForReading(new SqliteStoreOptions { Path = broker.Config.Database.FilePath });

        private static bool IsRefused(Role role, int status)
        {
            if (status is 200 or 101)
                return false;
            Assert.Equal(role == Role.AgentWithToken ? 403 : 401, status);
            return true;
        }

        private async Task<string> OpenAsync(string id) =>
            (await broker.Admin.PostAsync("/api/v1/sessions", new { session = id, name = "A name" })).Expect(201).Text("guest_token");
    }
}
