using Dispatch.Agents;
using Dispatch.Publishing;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Tasks;
using static Dispatch.Storage.Tests.Contract.BatchBuilder;

namespace Dispatch.Storage.Tests.Contract;

/// <summary>What every store has to do when its log is shortened.</summary>
public abstract partial class StoreContract
{
    [StoreFact]
    public async Task The_extent_tells_what_the_log_takes_and_from_where_it_could_be_kept()
    {
        Assert.Equal(new LogExtent(1, 0, 0, null, [], true), await Store.FindExtentAsync(None) with { Bases = [] });

        var task = Log.Submit(Spec(context: $"{{\"text\":\"{new string('x', 5_000)}\"}}"));
        await CommitAsync();
        var first = await Store.FindExtentAsync(None);
        Assert.Equal((1, 1, Log.Now - 1), (first.Horizon, first.Head, first.UncoveredSince));
        Assert.InRange(first.Bytes, 5_000, 6_000);
        Assert.Equal(first.Bytes, first.KeptBytes);

        var known = await Store.TakeBaseAsync(None);
        Assert.Equal((1, Log.Now - 1, first.Bytes), (known.Sequence, known.Timestamp, known.Bytes));
        Assert.Null((await Store.FindExtentAsync(None)).UncoveredSince);
        Assert.Equal(known, await Store.TakeBaseAsync(None));

        Log.Finish(task, "1");
        await CommitAsync();
        await ReopenAsync();
        var second = await Store.FindExtentAsync(None);
        Assert.Equal([known], second.Bases);
        Assert.Equal(Log.Now - 2, second.UncoveredSince);

        await TrimAsync(known);
        await ReopenAsync();
        var third = await Store.FindExtentAsync(None);
        Assert.Equal((2, Log.Sequence, true), (third.Horizon, third.Head, third.IsTrimmed));
        Assert.Equal(third.Bytes - known.Bytes, third.KeptBytes);
        Assert.True(third.Bytes > second.Bytes);
    }

    [StoreFact]
    public async Task Behind_the_horizon_no_event_is_told_and_every_task_reads_as_before()
    {
        var spec = Spec("Übersetze", "{\"n\": 1e400, \"x\":\"\\u0000\"}", "{\"team\":\"blue\"}") with { Description = "long", Estimate = Json("{\"t\":1}"), IdempotencyKey = "k", Submitter = "portal", Scope = "s" };
        var finished = Log.Finish(Log.Submit(spec, bodyHash: "abc"), "{\"lines\": 120}");
        var nothing = Log.Finish(Log.Submit());
        var patched = Log.Submit(Spec(context: "{}"));
        Log.Raise(patched, new TaskUpdated("patched", null, null, Json("{\"a\":1}")));
        var buried = Log.Bury(Log.Submit(Spec(context: "{\"b\":2}")));
        var held = Log.Assign(Log.Submit(Spec(context: "{\"c\":3}")));
        var gone = Log.Finish(Log.Submit(Spec("gone")), "0");
        Log.Publish("crawler", "e-1");
        Log.Report("worker-1", "u-1");
        await CommitAsync();
        Log.Prune(gone);
        await CommitAsync();
        var known = await Store.TakeBaseAsync(None);
        var young = Log.Submit(Spec(context: "{\"d\":4}"));
        Log.Raise(held, new TaskCompleted("worker-1", 1, Json("{\"late\":true}"), null));
        var kept = Log.Publish("crawler", "e-2");
        var reported = Log.Report("worker-1", "u-2");
        await CommitAsync();
        var before = await ReadAllAsync();

        await Store.PrepareTrimAsync(known.Sequence, None);
        Assert.Equal(before, await ReadAllAsync());
        Log.Trim(known);
        await CommitAsync();

        Assert.Equal(before, await ReadAllAsync());
        await LooksAsync();
        while (await Store.TrimAsync(3, None))
            await LooksAsync();
        await LooksAsync();
        await ReopenAsync();
        Assert.Equal(before, await ReadAllAsync());
        await LooksAsync();

        // Forgotten with its event, an id is free again.
        Log.Publish("crawler", "e-1");
        Log.Report("worker-1", "u-1");
        await CommitAsync();

        async Task LooksAsync()
        {
            Assert.Equal(known.Sequence + 1, (await Store.LoadAsync(None)).Horizon);
            Assert.Equal(known.Sequence + 1, (await Store.ListEventsAsync(0, 10, None))[0].Sequence);
            Assert.Equal([kept], (await Store.FindPublishedAsync("crawler", ["e-1", "e-2"], None)).Rows.Values);
            Assert.Null((await Store.FindUsageAsync("worker-1", "u-1", null, None)).Known);
            Assert.Equal(reported, (await Store.FindUsageAsync("worker-1", "u-2", null, None)).Known);
            Assert.Empty(await Store.ListHistoryAsync(Log.Tasks[finished.Id].Task.LastSequence, 100, None));
            Assert.Equal(["task.completed"], (await Store.ListHistoryAsync(Log.Tasks[held.Id].Task.LastSequence, 100, None)).Select(happened => happened.Type));
            await using var audit = await Store.OpenAuditAsync(None);
            Assert.Equal(known, await audit.FindBaseAsync(None));
            Assert.Equal(known.Sequence + 1, (await audit.EventsAsync(None).FirstAsync()).Sequence);
            Assert.Equal([kept], await audit.PublishedAsync(None).ToListAsync());
            Assert.Equal([reported], await audit.UsageAsync(None).ToListAsync());
            Assert.Equal([finished.Id, nothing.Id, patched.Id, buried.Id, held.Id, young.Id], (await audit.TasksAsync(None).ToListAsync()).Select(stored => stored.Task.Id));
            Assert.Equal(known.Digest, (await BaseFormat.ReadAsync(audit.BasePartsAsync(None), None).LastAsync()).End!.Digest);
        }

        async Task<List<string>> ReadAllAsync()
        {
            var all = new List<string>();
            foreach (var (id, stored) in Log.Tasks.Where(pair => pair.Key != gone.Id))
            {
                var found = await Store.FindTaskAsync(id, None);
                Same.Task(stored.Task, found!.Task);
                all.Add($"{found.Spec} {found.Result}");
                all.AddRange((await Store.ListAttemptsAsync(stored.Task.Number, None)).Select(attempt => attempt.ToString()));
            }

            all.AddRange((await Store.FindSpecsAsync([.. Log.Tasks.Values.Select(stored => stored.Task.Number).Where(number => number != gone.Number)], None)).Select(found => $"{found}"));
            all.AddRange((await Store.ListTasksAsync(new TaskQuery { Labels = ["team=blue"] }, None)).Select(found => $"{found.Spec} {found.Result}"));
            all.AddRange((await Store.FindFactsAsync([finished.Id], [new("alice", "k")], None)).Keys.Select(pair => pair.ToString()));
            await using var audit = await Store.OpenAuditAsync(None);
            all.AddRange(await audit.AttemptsAsync(None).Select(attempt => attempt.ToString()).ToListAsync());
            return all;
        }
    }

    [StoreFact]
    public async Task A_base_holds_every_row_as_it_was()
    {
        var task = Log.Submit(Spec(context: "{\"a\": [1,  2]}") with { IdempotencyKey = "k" }, needs: Log.Needs(["Python"], ["fast"], "acme"), shape: task => task with { Session = "s-1", DependsOn = [new TaskId(Guid.CreateVersion7())] });
        var held = Log.Raise(Log.Raise(Log.Assign(Log.Submit()), new TaskStarted("worker-1", 1)), new TaskProgressed("worker-1", 1, 12.5, "☃", Json("{\"page\":3}")));
        var done = Log.Finish(Log.Submit(), "{\"lines\":\n120}");
        var agent = Log.Register(new Agent { Id = "a-1", Capabilities = ["x"], MaxConcurrent = 3, Status = AgentStatus.Ready, Labels = Json("{\"site\":\"attic\"}"), RegisteredAt = 5, StatusAt = 6 });
        var token = Log.Keep(new AgentToken("t-1", new string('a', 64), "a-1", "laptop", 10, 99, null, 0));
        var session = Log.Open(new Session("ses-1", null, new string('a', 64), 10, 99, 0));
        var publisher = Log.Register(new Publisher("crawler", ["memory.updated"], null, 10, 0));
        await CommitAsync();

        var known = await Store.TakeBaseAsync(None);
        Log.Submit();
        await CommitAsync();
        await TrimAsync(known);

        await using var audit = await Store.OpenAuditAsync(None);
        var rows = await BaseFormat.ReadAsync(audit.BasePartsAsync(None), None).ToListAsync();
        Assert.Equal((known.Sequence, known.Timestamp, 1), (rows[0].Start!.Sequence, rows[0].Start!.Timestamp, rows[0].Start!.Horizon));
        Same.Agent(agent, Assert.Single(rows, row => row.Agent is not null).Agent);
        Assert.Equal(token, Assert.Single(rows, row => row.Token is not null).Token);
        Assert.Equal(session, Assert.Single(rows, row => row.Session is not null).Session);
        Assert.Equal(publisher, Assert.Single(rows, row => row.Publisher is not null).Publisher! with { Types = publisher.Types });
        Same.Each([Log.Tasks[task.Id], Log.Tasks[held.Id], Log.Tasks[done.Id]], [.. rows.Where(row => row.Task is not null).Select(row => row.Task!)], Same.Stored);
        Assert.Equal("{\"lines\":\n120}", Assert.Single(rows, row => row.Attempt is not null).Attempt!.Result!.ToString());
        Assert.Equal(task.Id, Assert.Single(rows, row => row.Key is not null).Key!.Task);
        Assert.Equal((rows.Count - 1, known.Digest), (rows[^1].End!.Rows, rows[^1].End!.Digest));
    }

    [StoreFact]
    public async Task A_horizon_that_was_not_prepared_for_is_refused_with_all_of_its_commit()
    {
        Log.Submit();
        await CommitAsync();
        var known = await Store.TakeBaseAsync(None);
        var head = Log.Sequence;
        Log.Submit();
        Log.Trim(known);

        await Assert.ThrowsAnyAsync<Exception>(CommitAsync);

        await using var audit = await Store.OpenAuditAsync(None);
        Assert.Null(await audit.FindBaseAsync(None));
        Assert.Equal(1, (await Store.FindExtentAsync(None)).Horizon);
        Assert.True(head <= (await Store.LoadAsync(None)).Sequence);
    }

    [StoreFact]
    public async Task The_horizon_moves_on_from_base_to_base_and_older_ones_go()
    {
        List<LogBase> bases = [];
        var task = Log.Submit(Spec(context: "{\"a\":1}"));
        for (var n = 0; n < 4; n++)
        {
            Log.Submit(Spec($"{n}"));
            await CommitAsync();
            bases.Add(await Store.TakeBaseAsync(None));
        }

        Log.Finish(task, "{\"n\":1}");
        await CommitAsync();
        await TrimAsync(bases[1]);
        Assert.Equal(bases[1..], (await Store.FindExtentAsync(None)).Bases);
        await TrimAsync(bases[3]);

        var extent = await Store.FindExtentAsync(None);
        Assert.Equal((bases[3].Sequence + 1, true), (extent.Horizon, extent.IsTrimmed));
        Assert.Equal([bases[3]], extent.Bases);
        Same.Stored(Log.Tasks[task.Id], await Store.FindTaskAsync(task.Id, None));
    }

    [StoreFact]
    public async Task Followers_are_listed_with_their_places()
    {
        await Store.SaveCursorsAsync([("handler/mail", 7), ("webhook/w-1", 3)], [], None);

        Assert.Equal([("handler/mail", 7L), ("webhook/w-1", 3L)], (await Store.ListCursorsAsync(None)).Select(place => (place.Name, place.Sequence)));
    }

    /// <summary>Moves the horizon behind the base and deletes what is below.</summary>
    protected async Task TrimAsync(LogBase known)
    {
        await Store.PrepareTrimAsync(known.Sequence, None);
        Log.Trim(known);
        await CommitAsync();
        while (await Store.TrimAsync(2, None))
        {
        }
    }
}
