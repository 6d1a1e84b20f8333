using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Running;

public sealed class QueueTests
{
    [Fact]
    public async Task When_the_queue_is_full_the_rest_is_refused_and_nothing_accepted_is_lost()
    {
        await using var broker = await TestBroker.StartAsync(config => config with { Server = config.Server with { QueueCapacity = 2 } });
        var alice = broker.As("alice");
        var accepted = new List<string>();
        var refused = new List<string>();

        // The first rounds may be too slow for each other; some soon are not.
        for (var round = 0; round < 20 && refused.Count == 0; round++)
        {
            var replies = await Task.WhenAll(Enumerable.Range(0, 300).Select(async _ =>
            {
                var id = Unique.Id();
                return (id, Reply: await alice.PostAsync("/api/v1/tasks", new { id, title = "x", idempotency_key = id }));
            }));
            foreach (var (id, reply) in replies)
            {
                if (reply.Status == 201)
                {
                    accepted.Add(id);
                    continue;
                }

                reply.ExpectProblem(503, "busy");
                Assert.Equal("1", reply.Header("Retry-After"));
                refused.Add(id);
            }
        }

        Assert.NotEmpty(refused);
        Assert.NotEmpty(accepted);
        Assert.All(await Task.WhenAll(accepted.Take(50).Select(alice.StatusAsync)), status => Assert.Equal("pending", status));
        foreach (var id in refused.Take(50))
            (await alice.GetAsync($"/api/v1/tasks/{id}")).ExpectProblem(404, "task_not_found");
        Assert.Equal(accepted.Count, (await broker.Admin.GetAsync("/api/v1/stats")).Expect(200).GetProperty("tasks").Number("pending"));
        (await alice.PostAsync("/api/v1/tasks", new { id = refused[0], title = "x", idempotency_key = refused[0] })).Expect(201);
    }
}
