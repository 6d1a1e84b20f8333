using Dispatch.Sessions;
using Dispatch.Tests.Support;

namespace Dispatch.Tests.Sessions;

public sealed class SessionTests
{
    private readonly CoreRun run = new();

    [Fact]
    public async Task It_is_open_until_it_is_closed()
    {
        var opened = Open("s", "Review", CoreRun.Hour);

        Assert.Equal(new Session("s", "Review", "hash of s", run.Wall, run.Wall + CoreRun.Hour, 2), opened);
        Assert.Equal([opened], run.Run(new ListSessions()));
        Assert.Equal(opened, run.Run(new CloseSession("s") { ByAdmin = true }));
        Assert.Null(run.Run(new CloseSession("s") { ByAdmin = true }));
        Assert.Empty(run.Run(new ListSessions()));
        Assert.Equal(["session.created", "session.token_made", "session.closed"], run.Store.Events.Select(happened => happened.Type));
        Assert.All(run.Store.Events, happened => Assert.Equal(("s", "s", "admin"), (happened.Subject, happened.Session, happened.Actor)));
        await run.CheckStoreAsync();
    }

    [Fact]
    public void An_id_that_is_open_is_not_opened_again()
    {
        var first = Open("s");

        Assert.Null(run.Run(new OpenSession("s", null, "another hash", CoreRun.Day) { ByAdmin = true }));
        Assert.Equal([first], run.Run(new ListSessions()));
    }

    [Fact]
    public async Task It_expires_by_the_clock_on_the_wall()
    {
        Open("s", expiresInMs: CoreRun.Hour);
        run.Pass(CoreRun.Hour - 1);
        Assert.Single(run.State.Sessions.All);

        run.Pass(1);

        Assert.Empty(run.State.Sessions.All);
        Assert.Equal(new SessionClosed(SessionEnd.Expired), run.Store.Events[^1].Data);
        Assert.Equal("system", run.Store.Events[^1].Actor);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task One_that_expired_while_the_broker_was_down_is_closed_at_its_start()
    {
        Open("gone", expiresInMs: CoreRun.Hour);
        var open = Open("open", expiresInMs: CoreRun.Day);
        run.Move(CoreRun.Hour);

        run.Restart();

        Assert.Equal([open], run.State.Sessions.All);
        Assert.Equal([open], run.Store.Loaded().Sessions);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task A_closed_one_may_be_opened_again_within_one_batch()
    {
        Open("s");
        run.Take(new CloseSession("s") { ByAdmin = true });
        run.Take(new OpenSession("s", null, "another hash", CoreRun.Day) { ByAdmin = true });
        run.Close();

        Assert.Equal("another hash", Assert.Single(run.Store.Loaded().Sessions).Hash);
        await run.CheckStoreAsync();
    }

    [Fact]
    public async Task One_that_is_opened_and_closed_in_one_batch_leaves_no_row()
    {
        run.Take(new OpenSession("s", null, "hash", CoreRun.Day) { ByAdmin = true });
        run.Take(new CloseSession("s") { ByAdmin = true });
        run.Close();

        Assert.Empty(run.Store.Loaded().Sessions);
        await run.CheckStoreAsync();
    }

    private Session Open(string id, string? name = null, long expiresInMs = CoreRun.Day) =>
        run.Run(new OpenSession(id, name, $"hash of {id}", expiresInMs) { ByAdmin = true })!;
}
