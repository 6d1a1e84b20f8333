using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Allowances;

public sealed class LimitApiTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient admin = shared.Broker.Admin;
    private readonly string id = Unique.Name("limit");
    private readonly string owner = Unique.Name("owner");

    [Fact]
    public async Task A_limit_is_set_read_changed_and_deleted()
    {
        var set = (await SetAsync(new { level = "owner", target = owner, unit = "tokens", amount = 2_000, window = new { kind = "week", time_zone = "Europe/Berlin", reset_hour = 6 } })).Expect(201);
        Assert.Equal((id, "owner", owner, "tokens", 2_000, 1), (set.Id(), set.Text("level"), set.Text("target"), set.Text("unit"), set.Number("amount"), set.Number("version")));
        Assert.Equal("""{"kind":"week","time_zone":"Europe/Berlin","reset_hour":6,"reset_day":1}""", set.GetProperty("window").GetRawText());
        Assert.Equal((80, "finish"), (set.Number("soft_percent"), set.Text("on_exceed")));

        Assert.Equal(set.GetRawText(), (await SetAsync(new { level = "owner", target = owner, unit = "tokens", amount = 2_000, window = set.GetProperty("window") })).Expect(200).GetRawText());
        var changed = (await SetAsync(new { level = "owner", target = owner, unit = "tokens", amount = 9_000, on_exceed = "pause", if_version = 1 })).Expect(200);
        Assert.Equal((9_000, 2, "pause", "lifetime"), (changed.Number("amount"), changed.Number("version"), changed.Text("on_exceed"), changed.GetProperty("window").Text("kind")));

        var read = (await admin.GetAsync($"/api/v1/limits/{id}")).Expect(200);
        var standing = Assert.Single(read.Items("standings"));
        Assert.Equal((id, owner, "ok", 9_000), (standing.Text("key"), standing.Text("target"), standing.Text("state"), standing.Number("remaining")));
        Assert.Equal(changed.GetRawText(), (await admin.DeleteAsync($"/api/v1/limits/{id}")).Expect(200).GetRawText());
        (await admin.DeleteAsync($"/api/v1/limits/{id}")).ExpectProblem(404, "limit_not_found");
        (await admin.GetAsync($"/api/v1/limits/{id}")).ExpectProblem(404, "limit_not_found");
        Assert.Equal(
            ["allowance.set", "allowance.set", "allowance.deleted"],
            (await admin.GetAsync($"/api/v1/events?subject={id}&type=allowance.*")).Expect(200).Items("events").Select(happened => happened.Text("type")["dispatch.".Length..]));
    }

    [Fact]
    public async Task A_change_of_another_version_is_refused()
    {
        (await SetAsync(new { level = "swarm", unit = "issues", repo = id, amount = 5, if_version = 1 })).ExpectProblem(409, "version_mismatch");
        (await SetAsync(new { level = "swarm", unit = "issues", repo = id, amount = 5, if_version = 0 })).Expect(201);
        Assert.Contains("version 1", (await SetAsync(new { level = "swarm", unit = "issues", repo = id, amount = 6, if_version = 0 })).ExpectProblem(409, "version_mismatch").Text("detail"), StringComparison.Ordinal);

        (await SetAsync(new { level = "swarm", unit = "issues", repo = id, amount = 6, if_version = 1 })).Expect(200);
        Assert.Equal(["level"], (await SetAsync(new { level = "owner", target = owner, unit = "issues", repo = id, amount = 6 })).ExpectFaults());
        Assert.Equal(["unit"], (await SetAsync(new { level = "swarm", unit = "pull_requests", repo = id, amount = 6 })).ExpectFaults());
        Assert.Equal(["repo"], (await SetAsync(new { level = "swarm", unit = "issues", repo = "other", amount = 6 })).ExpectFaults());
    }

    [Fact]
    public async Task Limits_are_listed_page_by_page()
    {
        var ids = Enumerable.Range(0, 5).Select(n => $"{id}.{n}").ToArray();
        foreach (var one in ids)
            (await admin.PutAsync($"/api/v1/limits/{one}", new { level = "owner", target = owner, unit = one == ids[2] ? "jobs" : "money", amount = 7 })).Expect(201);

        var first = await admin.GetAsync($"/api/v1/limits?target={owner}&limit=3");
        Assert.Equal(ids.Take(3), first.Expect(200).Items().Select(limit => limit.Id()));
        var next = first.Header("Link")!.Split('<', '>')[1];
        var last = await admin.GetAsync(next);
        Assert.Equal(ids.Skip(3), last.Expect(200).Items().Select(limit => limit.Id()));
        Assert.Null(last.Header("Link"));
        Assert.Equal([ids[2]], (await admin.GetAsync($"/api/v1/limits?target={owner}&level=owner&unit=jobs")).Expect(200).Items().Select(limit => limit.Id()));
        Assert.Empty((await admin.GetAsync($"/api/v1/limits?target={owner}&level=agent")).Expect(200).Items());
        Assert.Equal(["color", "limit", "level", "unit"], (await admin.GetAsync("/api/v1/limits?level=task&unit=bytes&limit=0&color=red")).ExpectFaults());
    }

    [Theory]
    [InlineData("[]", "body")]
    [InlineData("{}", "level", "unit")]
    [InlineData("""{"level":"swarm","unit":"tokens"}""", "amount")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":-1}""", "amount")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":9007199254740992}""", "amount")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1e30}""", "amount")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1.5}""", "amount")]
    [InlineData("""{"level":"swarm","unit":"bytes","amount":1}""", "unit")]
    [InlineData("""{"level":"task","unit":"tokens","amount":1}""", "level")]
    [InlineData("""{"level":"swarm","target":"x","unit":"tokens","amount":1}""", "target")]
    [InlineData("""{"level":"agent","unit":"tokens","amount":1}""", "target")]
    [InlineData("""{"level":"team","target":"nobody","unit":"tokens","amount":1}""", "target")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"year"}}""", "window.kind")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{}}""", "window.kind")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":"day"}""", "window")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"day","time_zone":"Mars/Olympus","reset_hour":24,"reset_day":1}}""", "window.reset_day", "window.time_zone", "window.reset_hour")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"day","time_zone":"../../etc/passwd"}}""", "window.time_zone")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"week","reset_day":8}}""", "window.reset_day")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"month","reset_day":32}}""", "window.reset_day")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"rolling"}}""", "window.rolling_ms")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"rolling","rolling_ms":59999,"time_zone":"UTC"}}""", "window.time_zone", "window.rolling_ms")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"window":{"kind":"lifetime","reset_hour":1,"size":2}}""", "window.size", "window.reset_hour")]
    [InlineData("""{"level":"swarm","unit":"job_ms","amount":1,"window":{"kind":"day"}}""", "window")]
    [InlineData("""{"level":"swarm","unit":"cooldown_ms","amount":1}""", "repo")]
    [InlineData("""{"level":"swarm","unit":"pull_requests","amount":1}""", "repo")]
    [InlineData("""{"level":"swarm","unit":"models"}""", "allow")]
    [InlineData("""{"level":"swarm","unit":"models","amount":1,"allow":[],"deny":["",7]}""", "amount", "allow", "deny[0]", "deny[1]")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"allow":["x"]}""", "allow")]
    [InlineData("""{"level":"swarm","unit":"tokens","amount":1,"soft_percent":0,"on_exceed":"stop","if_version":-1,"color":1}""", "color", "soft_percent", "on_exceed", "if_version")]
    public async Task A_wrong_limit_is_told(string body, params string[] fields)
    {
        Assert.Equal(fields, (await admin.PutAsync($"/api/v1/limits/{id}", body)).ExpectFaults());
        (await admin.GetAsync($"/api/v1/limits/{id}")).ExpectProblem(404, "limit_not_found");
    }

    [Theory]
    [InlineData("-x")]
    [InlineData("a%2Fb")]
    [InlineData("a%20b")]
    [InlineData("%C3%A9")]
    public async Task An_id_is_plain(string wrong) =>
        Assert.Equal(["id", "level", "unit"], (await admin.PutAsync($"/api/v1/limits/{wrong}", "{}")).ExpectFaults());

    [Fact]
    public async Task Only_admins_see_and_set_limits()
    {
        var agent = broker.As(Unique.Name("agent"));

        (await agent.PutAsync($"/api/v1/limits/{id}", new { level = "swarm", unit = "jobs", amount = 0 })).ExpectProblem(401, "unauthorized");
        (await agent.GetAsync("/api/v1/limits")).ExpectProblem(401, "unauthorized");
        (await agent.GetAsync($"/api/v1/limits/{id}")).ExpectProblem(401, "unauthorized");
        (await agent.DeleteAsync($"/api/v1/limits/{id}")).ExpectProblem(401, "unauthorized");
        (await agent.GetAsync("/api/v1/spending")).ExpectProblem(401, "unauthorized");
    }

    private Task<Reply> SetAsync(object limit) => admin.PutAsync($"/api/v1/limits/{id}", limit);
}
