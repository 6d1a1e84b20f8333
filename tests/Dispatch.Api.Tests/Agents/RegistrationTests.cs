using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Agents;

public sealed class RegistrationTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly ApiClient alice = shared.Broker.As("alice");
    private readonly string id = Unique.Name("agent");
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task An_agent_registers_and_is_read_as_it_said()
    {
        var body = new { capabilities = new[] { "Lines", "sum" }, owner = "acme", labels = new { zone = "eu" }, max_concurrent = 7, status = "busy", wake = new { url = "http://localhost:9/wake" } };

        var made = (await broker.As(id).PutAsync($"/api/v1/agents/{id}", body)).Expect(201);
        var read = (await alice.GetAsync($"/api/v1/agents/{id}")).Expect(200);

        foreach (var agent in new[] { made, read })
        {
            Assert.Equal((id, "acme", "busy", 7, 0), (agent.Id(), agent.Text("owner"), agent.Text("status"), agent.Number("max_concurrent"), agent.Number("active")));
            Assert.Equal(["Lines", "sum"], agent.Items("capabilities").Select(name => name.GetString()));
            Assert.Equal("""{"zone":"eu"}""", agent.GetProperty("labels").GetRawText());
            Assert.Equal("http://localhost:9/wake", agent.GetProperty("wake").Text("url"));
            Assert.False(agent.GetProperty("drained").GetBoolean());
        }
    }

    [Fact]
    public async Task Nothing_said_means_the_defaults()
    {
        var agent = (await broker.As(id).PutAsync($"/api/v1/agents/{id}")).Expect(201);

        Assert.Equal((3, "ready", 0), (agent.Number("max_concurrent"), agent.Text("status"), agent.Items("capabilities").Length));
    }

    [Fact]
    public async Task Registering_again_replaces_all_that_was_said_before_and_keeps_the_work()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var task = await alice.SubmitForAsync(capability);

        var agent = (await worker.Api.PutAsync($"/api/v1/agents/{id}", new { capabilities = new[] { "other" } })).Expect(200);

        Assert.Equal((1, 3), (agent.Number("active"), agent.Number("max_concurrent")));
        Assert.Equal("assigned", await alice.StatusAsync(task));
        Assert.Equal("pending", await alice.StatusAsync(await alice.SubmitForAsync(capability)));
    }

    [Fact]
    public async Task A_new_agent_is_given_what_waits()
    {
        var task = await alice.SubmitForAsync(capability);

        await broker.RegisterAsync(id, capability);

        Assert.Equal("assigned", await alice.StatusAsync(task));
    }

    [Theory]
    [InlineData("""{"capabilities":"x","owner":1,"labels":[],"max_concurrent":0,"status":"asleep","wake":"x","name":"y"}""", "capabilities,owner,labels,max_concurrent,status,wake,name")]
    [InlineData("""{"max_concurrent":10001}""", "max_concurrent")]
    [InlineData("""{"status":"offline"}""", "status")]
    [InlineData("""{"capabilities":["a",""]}""", "capabilities[1]")]
    [InlineData("""{"wake":{"url":"ftp://x"}}""", "wake.url")]
    [InlineData("""{"wake":{"url":"http://user:secret@x/"}}""", "wake.url")]
    [InlineData("""{"wake":{}}""", "wake")]
    [InlineData("[]", "body")]
    public async Task A_registration_with_faults_is_refused(string body, string fields)
    {
        Assert.Equal(fields.Split(','), (await broker.As(id).PutAsync($"/api/v1/agents/{id}", body)).ExpectFaults());
        (await alice.GetAsync($"/api/v1/agents/{id}")).ExpectProblem(404, "agent_not_found");
    }

    [Fact]
    public async Task Only_the_agent_itself_and_an_admin_speak_for_an_agent()
    {
        (await alice.PutAsync($"/api/v1/agents/{id}")).ExpectProblem(403, "forbidden");
        await broker.RegisterAsync(id, capability);

        (await alice.DeleteAsync($"/api/v1/agents/{id}")).ExpectProblem(403, "forbidden");
        (await alice.PostAsync($"/api/v1/agents/{id}/heartbeat")).ExpectProblem(403, "forbidden");
        (await alice.PostAsync($"/api/v1/agents/{id}/work")).ExpectProblem(403, "forbidden");
        (await alice.GetAsync($"/api/v1/agents/{id}/tasks")).ExpectProblem(403, "forbidden");
        (await broker.Admin.GetAsync($"/api/v1/agents/{id}/tasks")).Expect(200);
        (await broker.Admin.PutAsync($"/api/v1/agents/{id}", new { max_concurrent = 2 })).Expect(200);
        (await broker.Admin.DeleteAsync($"/api/v1/agents/{id}")).Expect(200);
    }

    [Fact]
    public async Task An_agent_that_is_not_registered_is_not_found()
    {
        var nobody = broker.As(id);

        (await nobody.GetAsync($"/api/v1/agents/{id}")).ExpectProblem(404, "agent_not_found");
        (await nobody.DeleteAsync($"/api/v1/agents/{id}")).ExpectProblem(404, "agent_not_found");
        (await nobody.PostAsync($"/api/v1/agents/{id}/heartbeat")).ExpectProblem(404, "agent_not_found");
        (await nobody.PostAsync($"/api/v1/agents/{id}/work?wait_ms=60000")).ExpectProblem(404, "agent_not_found");
        (await nobody.GetAsync($"/api/v1/agents/{id}/tasks")).ExpectProblem(404, "agent_not_found");
        (await broker.Admin.PostAsync($"/api/v1/agents/{id}/drain")).ExpectProblem(404, "agent_not_found");
        (await broker.Admin.PostAsync($"/api/v1/agents/{id}/resume")).ExpectProblem(404, "agent_not_found");
    }

    [Fact]
    public async Task Leaving_gives_the_work_back_at_no_cost()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var (assigned, running) = (await alice.SubmitForAsync(capability), await alice.SubmitForAsync(capability));
        (await worker.Api.PostAsync($"/api/v1/tasks/{running}/start")).Expect(200);

        var left = (await worker.Api.DeleteAsync($"/api/v1/agents/{id}")).Expect(200);

        Assert.Equal((id, 2), (left.Id(), left.Number("returned")));
        foreach (var task in new[] { await alice.TaskAsync(assigned), await alice.TaskAsync(running) })
            Assert.Equal(("pending", 0, "released"), (task.Text("status"), task.Number("retry_count"), task.Items("attempts").Single().Text("outcome")));
        (await worker.Api.PostAsync($"/api/v1/tasks/{running}/complete", new { attempt = 1 })).ExpectProblem(409, "stale_attempt");
    }

    [Fact]
    public async Task A_waiting_exchange_ends_when_its_agent_is_removed()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var waiting = worker.Api.PostAsync($"/api/v1/agents/{id}/work?wait_ms=60000");
        await alice.SubmitForAsync("nobody-can");

        (await broker.Admin.DeleteAsync($"/api/v1/agents/{id}")).Expect(200);

        (await waiting).ExpectProblem(404, "agent_not_found");
    }

    [Fact]
    public async Task Agents_are_found_by_capability_status_and_owner()
    {
        var owner = Unique.Name("owner");
        var (a, b) = (Unique.Name("agent"), Unique.Name("agent"));
        (await broker.As(a).PutAsync($"/api/v1/agents/{a}", new { capabilities = new[] { capability, "Extra" }, owner })).Expect(201);
        (await broker.As(b).PutAsync($"/api/v1/agents/{b}", new { capabilities = new[] { capability }, owner, status = "sleeping" })).Expect(201);

        async Task FindsAsync(string query, params string[] expected) => Assert.Equal(expected, (await broker.Admin.GetAsync($"/api/v1/agents?{query}")).Expect(200).Ids());

        await FindsAsync($"capability={capability.ToUpperInvariant()}", a, b);
        await FindsAsync($"capability={capability}&capability=extra", a);
        await FindsAsync($"owner={owner}&status=sleeping", b);
        await FindsAsync($"owner={owner}&status=offline");
        await FindsAsync($"capability={Unique.Name("none")}");
        Assert.Superset(new HashSet<string> { a, b }, (await broker.Admin.GetAsync("/api/v1/agents")).Expect(200).Ids().ToHashSet());
    }

    [Theory]
    [InlineData("status=asleep", "status")]
    [InlineData("owner=", "owner")]
    [InlineData("name=x&status=asleep", "name,status")]
    public async Task A_filter_that_means_nothing_is_refused(string query, string fields)
    {
        Assert.Equal(fields.Split(','), (await broker.Admin.GetAsync($"/api/v1/agents?{query}")).ExpectFaults());
    }

    [Theory]
    [InlineData("team/coder-1")]
    [InlineData("100%")]
    [InlineData("50%2Fx")]
    [InlineData("with space inside")]
    [InlineData("ünïcode-☕")]
    [InlineData("a?b#c")]
    [InlineData("a+b&c=d;e")]
    [InlineData("work")]
    public async Task An_agent_may_have_any_printable_name(string name)
    {
        var unique = $"{name}{Unique.Name("-")}";
        var api = broker.As(unique);
        var path = $"/api/v1/agents/{Uri.EscapeDataString(unique)}";

        Assert.Equal(unique, (await broker.Admin.PutAsync(path, new { capabilities = new[] { capability } })).Expect(201).Id());
        Assert.Equal(unique, (await broker.Admin.GetAsync(path)).Expect(200).Id());
        Assert.Equal(unique, (await broker.Admin.PostAsync(path + "/heartbeat")).Expect(200).GetProperty("agent").Id());
        if (unique.All(char.IsAscii))
        {
            (await api.PostAsync(path + "/heartbeat")).Expect(200);
            (await api.PostAsync(path + "/work")).Expect(200);
            (await api.PutAsync(path, new { max_concurrent = 1 })).Expect(200);
        }

        Assert.Equal(unique, (await broker.Admin.DeleteAsync(path)).Expect(200).Id());
    }

    [Theory]
    [InlineData("%20")]
    [InlineData("a%0Ab")]
    [InlineData("%E2%80%AE")]
    public async Task A_name_that_can_not_be_seen_is_refused(string name)
    {
        Assert.Equal(["id"], (await broker.Admin.PutAsync($"/api/v1/agents/{name}")).ExpectFaults());
    }

    [Fact]
    public async Task A_name_has_at_most_256_characters()
    {
        (await broker.Admin.PutAsync($"/api/v1/agents/{new string('n', 256)}")).Expect(201);

        Assert.Equal(["id"], (await broker.Admin.PutAsync($"/api/v1/agents/{new string('n', 257)}")).ExpectFaults());
    }

    [Fact]
    public async Task What_an_agent_holds_is_listed_oldest_first()
    {
        var worker = await broker.RegisterAsync(id, capability);
        var (first, second) = (await alice.SubmitForAsync(capability), await alice.SubmitForAsync(capability));
        (await worker.Api.PostAsync($"/api/v1/tasks/{second}/start")).Expect(200);

        var held = (await worker.Api.GetAsync($"/api/v1/agents/{id}/tasks")).Expect(200);

        Assert.Equal([first, second], held.Ids());
        Assert.Equal(["assigned", "running"], held.Items().Select(task => task.Text("status")));
        Assert.InRange((held[0].Time("lease_expires_at") - DateTimeOffset.UtcNow).TotalSeconds, 20, 31);
    }
}
