using System.Text.RegularExpressions;
using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;

namespace Dispatch.Api.Tests.Callers;

/// <summary>In the mode in which agents prove who they are and see only what is theirs.</summary>
public sealed class TokenModeTests(SharedTokenBroker shared) : IClassFixture<SharedTokenBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task A_token_is_shown_once_and_proves_one_agent()
    {
        var name = Unique.Name("agent");

        var made = (await broker.Admin.PostAsync("/api/v1/tokens", new { agent_id = name, name = "laptop", expires_in_ms = 3_600_000 })).Expect(201);
        var secret = made.Text("token");

        Assert.StartsWith("dsp_", secret, StringComparison.Ordinal);
        Assert.InRange((made.Time("expires_at") - made.Time("created_at")).TotalMinutes, 59.9, 60.1);
        (await broker.As(name, secret).GetAsync("/api/v1/tasks")).Expect(200);
        (await broker.As("somebody-else", secret).GetAsync("/api/v1/tasks")).ExpectProblem(401, "unauthorized");
        (await broker.As(name).GetAsync("/api/v1/tasks")).ExpectProblem(401, "unauthorized");
        (await broker.As(name, secret + "x").GetAsync("/api/v1/tasks")).ExpectProblem(401, "unauthorized");

        var listed = (await broker.Admin.GetAsync("/api/v1/tokens")).Expect(200);
        Assert.Equal("laptop", listed.Items().Single(token => token.Text("agent_id") == name).Text("name"));
        Assert.DoesNotContain(secret, listed.GetRawText(), StringComparison.Ordinal);
        Assert.DoesNotContain(secret, broker.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_revoked_token_is_refused_at_once_and_stays_listed()
    {
        var name = Unique.Name("agent");
        var made = (await broker.Admin.PostAsync("/api/v1/tokens", new { agent_id = name })).Expect(201);
        var agent = broker.As(name, made.Text("token"));
        (await agent.GetAsync("/api/v1/tasks")).Expect(200);

        var revoked = (await broker.Admin.DeleteAsync($"/api/v1/tokens/{made.Id()}")).Expect(200);

        (await agent.GetAsync("/api/v1/tasks")).ExpectProblem(401, "unauthorized");
        Assert.NotNull(revoked.Find("revoked_at"));
        Assert.Equal(revoked.GetRawText(), (await broker.Admin.DeleteAsync($"/api/v1/tokens/{made.Id()}")).Expect(200).GetRawText());
        Assert.Contains(made.Id(), (await broker.Admin.GetAsync("/api/v1/tokens")).Expect(200).Ids());
    }

    [Fact]
    public async Task A_token_is_refused_after_its_time()
    {
        var name = Unique.Name("agent");
        var made = (await broker.Admin.PostAsync("/api/v1/tokens", new { agent_id = name, expires_in_ms = 150 })).Expect(201);
        var agent = broker.As(name, made.Text("token"));

        await Eventually.HoldsAsync(async () => (await agent.GetAsync("/api/v1/tasks")).Status == 401, "the token has expired");
    }

    [Fact]
    public async Task A_token_that_is_not_there_can_not_be_revoked()
    {
        (await broker.Admin.DeleteAsync("/api/v1/tokens/tok_nothing")).ExpectProblem(404, "token_not_found");
    }

    [Theory]
    [InlineData("""{"agent_id":"","name":5,"expires_in_ms":0,"role":"x"}""", "agent_id,name,expires_in_ms,role")]
    [InlineData("""{"name":5}""", "name,agent_id")]
    [InlineData("""{"agent_id":" x"}""", "agent_id")]
    [InlineData("""{"agent_id":null}""", "agent_id")]
    [InlineData("", "body")]
    public async Task A_request_for_a_token_with_faults_is_refused(string body, string fields)
    {
        Assert.Equal(fields.Split(','), (await broker.Admin.PostAsync("/api/v1/tokens", body)).ExpectFaults());
    }

    [Fact]
    public async Task An_agents_token_does_not_open_admin_routes()
    {
        var alice = await AgentAsync();

        foreach (var path in new[] { "stats", "agents", "dead-letters", "tokens" })
            (await alice.GetAsync("/api/v1/" + path)).ExpectProblem(403, "forbidden");
        (await alice.PostAsync("/api/v1/tokens", new { agent_id = "x" })).ExpectProblem(403, "forbidden");
        (await alice.PostAsync($"/api/v1/agents/{alice.Agent}/drain")).ExpectProblem(403, "forbidden");
    }

    [Fact]
    public async Task An_agent_sees_what_it_submitted_owns_or_is_assigned()
    {
        var (alice, owner, worker) = (await AgentAsync(), await AgentAsync(), await AgentAsync());
        (await worker.PutAsync($"/api/v1/agents/{worker.Agent}", new { capabilities = new[] { capability }, owner = owner.Agent })).Expect(201);

        var task = await alice.SubmitAsync(new { title = "x", scope = capability, owner = owner.Agent });

        Assert.Equal(worker.Agent, task.Text("assignee"));
        foreach (var who in new[] { alice, owner, worker, broker.Admin })
        {
            (await who.GetAsync($"/api/v1/tasks/{task.Id()}")).Expect(200);
            Assert.Contains(task.Id(), (await who.GetAsync("/api/v1/tasks?limit=1000")).Expect(200).Ids());
        }

        Assert.Empty((await (await AgentAsync()).GetAsync("/api/v1/tasks")).Expect(200).Items());
    }

    [Fact]
    public async Task What_is_not_ones_own_looks_like_what_does_not_exist()
    {
        var (alice, mallory, worker) = (await AgentAsync(), await AgentAsync(), await AgentAsync());
        var pending = await alice.SubmitForAsync(Unique.Name("nobody"));
        (await worker.PutAsync($"/api/v1/agents/{worker.Agent}", new { capabilities = new[] { capability } })).Expect(201);
        var assigned = await alice.SubmitForAsync(capability);
        var done = await alice.SubmitForAsync(capability);
        (await worker.PostAsync($"/api/v1/tasks/{done}/complete")).Expect(200);
        var missing = Unique.Id();

        (HttpMethod, string, object?)[] requests =
        [
            (HttpMethod.Get, "", null), (HttpMethod.Get, "?wait_ms=60000", null), (HttpMethod.Get, "/explain", null), (HttpMethod.Get, "/events", null),
            (HttpMethod.Patch, "", new { status = "cancelled" }), (HttpMethod.Patch, "", new { priority = 1 }), (HttpMethod.Patch, "", new { context = new { a = 1 } }),
            (HttpMethod.Post, "/start", null), (HttpMethod.Post, "/progress", new { attempt = 1 }), (HttpMethod.Post, "/complete", new { attempt = 1 }),
            (HttpMethod.Post, "/complete", null), (HttpMethod.Post, "/fail", new { error = "x" }), (HttpMethod.Post, "/release", null), (HttpMethod.Post, "/retry", null),
        ];
        foreach (var (method, path, body) in requests)
        {
            var nothing = await AskAsync(missing);
            foreach (var task in new[] { pending, assigned, done })
                Assert.Equal(nothing, await AskAsync(task));

            async Task<string> AskAsync(string id)
            {
                var reply = await mallory.SendAsync(method, $"/api/v1/tasks/{id}{path}", ApiClient.Content(body));
                reply.ExpectProblem(404, "task_not_found");
                return Regex.Replace(reply.Text.Replace(id, "ID", StringComparison.Ordinal), "\"request_id\":\"[^\"]*\"", "");
            }
        }

        Assert.Equal("completed", await alice.StatusAsync(done));
    }

    [Fact]
    public async Task A_task_that_is_not_ones_own_can_not_be_depended_on()
    {
        var (alice, mallory) = (await AgentAsync(), await AgentAsync());
        var foreign = await alice.SubmitForAsync(Unique.Name("nobody"));

        foreach (var id in new[] { foreign, Unique.Id() })
        {
            Assert.Equal(["depends_on[0]"], (await mallory.PostAsync("/api/v1/tasks", new { title = "x", depends_on = new[] { id } })).ExpectFaults());
            Assert.Equal(["parent_id"], (await mallory.PostAsync("/api/v1/tasks", new { title = "x", parent_id = id })).ExpectFaults());
        }

        (await alice.PostAsync("/api/v1/tasks", new { title = "x", scope = capability, depends_on = new[] { foreign } })).Expect(201);
    }

    [Fact]
    public async Task A_report_in_an_exchange_does_not_tell_of_others_tasks()
    {
        var (alice, mallory, worker) = (await AgentAsync(), await AgentAsync(), await AgentAsync());
        (await worker.PutAsync($"/api/v1/agents/{worker.Agent}", new { capabilities = new[] { capability } })).Expect(201);
        (await mallory.PutAsync($"/api/v1/agents/{mallory.Agent}", new { capabilities = new[] { "other" } })).Expect(201);
        var (live, done, pending) = (await alice.SubmitForAsync(capability), await alice.SubmitForAsync(capability), await alice.SubmitForAsync(Unique.Name("nobody")));
        (await worker.PostAsync($"/api/v1/tasks/{done}/complete")).Expect(200);

        var answer = (await mallory.PostAsync($"/api/v1/agents/{mallory.Agent}/work", new
        {
            reports = new[] { live, done, pending, Unique.Id() }.Select(id => new { task_id = id, attempt = 1, outcome = "completed" }),
        })).Expect(200);

        Assert.All(answer.Items("reports"), report => Assert.Equal("unknown", report.Text("status")));
    }

    [Fact]
    public async Task Other_agents_look_like_agents_that_do_not_exist()
    {
        var (alice, bob) = (await AgentAsync(), await AgentAsync());
        (await bob.PutAsync($"/api/v1/agents/{bob.Agent}")).Expect(201);

        (await alice.GetAsync($"/api/v1/agents/{bob.Agent}")).ExpectProblem(404, "agent_not_found");
        (await alice.GetAsync($"/api/v1/agents/{Unique.Name("nobody")}")).ExpectProblem(404, "agent_not_found");
        (await bob.GetAsync($"/api/v1/agents/{bob.Agent}")).Expect(200);
    }

    [Fact]
    public async Task The_holder_before_still_learns_that_its_attempt_is_stale()
    {
        var (alice, first) = (await AgentAsync(), await AgentAsync());
        (await first.PutAsync($"/api/v1/agents/{first.Agent}", new { capabilities = new[] { capability } })).Expect(201);
        var task = await alice.SubmitForAsync(capability);
        (await first.DeleteAsync($"/api/v1/agents/{first.Agent}")).Expect(200);

        (await first.PostAsync($"/api/v1/tasks/{task}/complete", new { attempt = 1 })).ExpectProblem(409, "stale_attempt");
    }

    [Fact]
    public async Task The_visibility_can_be_set_apart_from_the_mode()
    {
        await using var swarm = await TestBroker.StartAsync(config => config with { Auth = new AuthSettings { Mode = AuthMode.Token, Visibility = Visibility.Swarm } });
        await using var own = await TestBroker.StartAsync(config => config with { Auth = new AuthSettings { Visibility = Visibility.Own } });
        var task = await own.As("alice").SubmitForAsync(capability);
        (await own.As("bob").GetAsync($"/api/v1/tasks/{task}")).ExpectProblem(404, "task_not_found");

        var secret = (await swarm.Admin.PostAsync("/api/v1/tokens", new { agent_id = "bob" })).Expect(201).Text("token");
        var seen = await swarm.Admin.SubmitForAsync(capability);
        (await swarm.As("bob", secret).GetAsync($"/api/v1/tasks/{seen}")).Expect(200);
    }

    [Fact]
    public async Task Tokens_outlive_the_process_and_revoked_ones_stay_revoked()
    {
        await using var own = await TestBroker.StartAsync(config => config with { Auth = new AuthSettings { Mode = AuthMode.Token } });
        var kept = (await own.Admin.PostAsync("/api/v1/tokens", new { agent_id = "alice" })).Expect(201);
        var gone = (await own.Admin.PostAsync("/api/v1/tokens", new { agent_id = "alice" })).Expect(201);
        (await own.Admin.DeleteAsync($"/api/v1/tokens/{gone.Id()}")).Expect(200);

        await own.RestartAsync();

        (await own.As("alice", kept.Text("token")).GetAsync("/api/v1/tasks")).Expect(200);
        (await own.As("alice", gone.Text("token")).GetAsync("/api/v1/tasks")).ExpectProblem(401, "unauthorized");
    }

    private async Task<ApiClient> AgentAsync()
    {
        var name = Unique.Name("agent");
        return broker.As(name, (await broker.Admin.PostAsync("/api/v1/tokens", new { agent_id = name })).Expect(201).Text("token"));
    }
}
