using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Tasks;

public sealed class DeadLetterTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly string capability = Unique.Name("cap");
    private readonly ApiClient alice = shared.Broker.As(Unique.Name("alice"));

    [Fact]
    public async Task What_failed_for_good_is_listed_until_it_is_put_back()
    {
        var ids = await FailedAsync(3);

        Assert.Equal(ids.Reverse(), await ListAsync($"scope={capability}"));
        Assert.Equal(ids.Reverse(), await ListAsync($"requester={alice.Agent}&status=failed"));
        Assert.Empty(await ListAsync($"scope={capability}&status=timeout"));

        (await alice.PostAsync($"/api/v1/tasks/{ids[1]}/retry")).Expect(200);
        Assert.Equal([ids[2], ids[0]], await ListAsync($"scope={capability}"));
    }

    [Fact]
    public async Task Dead_letters_come_in_pages()
    {
        var ids = await FailedAsync(3);

        var first = await broker.Admin.GetAsync($"/api/v1/dead-letters?scope={capability}&limit=2");
        var link = first.Header("Link")!.Split('<', '>')[1];
        var second = await broker.Admin.GetAsync(link);

        Assert.StartsWith("/api/v1/dead-letters?", link, StringComparison.Ordinal);
        Assert.Equal(ids.Reverse(), [.. first.Expect(200).Ids(), .. second.Expect(200).Ids()]);
    }

    [Theory]
    [InlineData("status=cancelled", "status")]
    [InlineData("status=done", "status")]
    [InlineData("assignee=x", "assignee")]
    [InlineData("limit=0", "limit")]
    public async Task A_filter_that_means_nothing_is_refused(string query, string field)
    {
        Assert.Equal([field], (await broker.Admin.GetAsync($"/api/v1/dead-letters?{query}")).ExpectFaults());
    }

    [Fact]
    public async Task Named_ones_are_put_back_and_the_others_are_told_with_the_reason()
    {
        var ids = await FailedAsync(2);
        var live = await alice.SubmitForAsync(Unique.Name("nobody"));
        var missing = Unique.Id();

        var answer = (await broker.Admin.PostAsync("/api/v1/dead-letters/redrive", new { ids = new[] { ids[0], live, missing, ids[0] } })).Expect(200);

        Assert.Equal(1, answer.Number("redriven"));
        Assert.Equal([(live, "is pending"), (missing, "task_not_found")], answer.Items("skipped").Select(skipped => (skipped.Id(), skipped.Text("reason"))));
        Assert.Equal("pending", await alice.StatusAsync(ids[0]));
        Assert.Equal("failed", await alice.StatusAsync(ids[1]));
    }

    [Fact]
    public async Task All_that_fit_a_filter_are_put_back_so_many_at_a_time()
    {
        var ids = await FailedAsync(5);
        async Task<(int, bool)> RedriveAsync()
        {
            var answer = (await broker.Admin.PostAsync("/api/v1/dead-letters/redrive", new { scope = capability, status = "failed", requester = alice.Agent, limit = 3 })).Expect(200);
            return (answer.Number("redriven"), answer.GetProperty("more").GetBoolean());
        }

        Assert.Equal((3, true), await RedriveAsync());
        Assert.Equal((2, false), await RedriveAsync());
        Assert.Equal((0, false), await RedriveAsync());
        Assert.All(await Task.WhenAll(ids.Select(alice.StatusAsync)), status => Assert.Equal("pending", status));
    }

    [Theory]
    [InlineData("""{"ids":["x"]}""", "ids[0]")]
    [InlineData("""{"ids":"x"}""", "ids")]
    [InlineData("""{"ids":[],"limit":5}""", "ids")]
    [InlineData("""{"status":"cancelled","limit":0,"scope":"","owner":"x"}""", "status,limit,scope,owner")]
    [InlineData("[]", "body")]
    public async Task A_redrive_with_faults_is_refused(string body, string fields)
    {
        Assert.Equal(fields.Split(','), (await broker.Admin.PostAsync("/api/v1/dead-letters/redrive", body)).ExpectFaults());
    }

    private async Task<string[]> FailedAsync(int count)
    {
        var worker = await broker.RegisterAsync(Unique.Name("worker"), capability, maxConcurrent: 100);
        var ids = (await alice.PostAsync("/api/v1/tasks", Enumerable.Range(0, count).Select(n => new { title = $"t{n}", scope = capability }))).Expect(201).Ids();
        foreach (var id in ids)
            await worker.FailAsync(id, retryable: false);

        // Whatever is put back later waits.
        (await worker.Api.DeleteAsync($"/api/v1/agents/{worker.Agent}")).Expect(200);
        return ids;
    }

    private async Task<string[]> ListAsync(string query) => (await broker.Admin.GetAsync($"/api/v1/dead-letters?{query}")).Expect(200).Ids();
}
