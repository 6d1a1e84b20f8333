using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;

namespace Dispatch.Api.Tests.Tasks;

public sealed class RetentionTests
{
    [Fact]
    public async Task Finished_tasks_are_removed_after_their_time_and_their_keys_with_them()
    {
        await using var broker = await TestBroker.StartAsync(config => config with
        {
            Retention = new RetentionSettings { FinishedTasks = TimeSpan.FromMilliseconds(200), Sweep = TimeSpan.FromMilliseconds(50) },
        });
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do");
        var body = new { title = "x", scope = "do", idempotency_key = "k" };
        var done = (await alice.SubmitAsync(body)).Id();
        var failed = (await alice.SubmitAsync(new { title = "x", scope = "do" })).Id();
        var waiting = (await alice.SubmitAsync(new { title = "x", scope = "nobody" })).Id();
        await worker.CompleteAsync(done);
        await worker.FailAsync(failed, retryable: false);

        foreach (var id in new[] { done, failed })
            await Eventually.HoldsAsync(async () => (await alice.GetAsync($"/api/v1/tasks/{id}")).Status == 404, $"task {id} is removed");

        (await alice.GetAsync($"/api/v1/tasks/{done}/events")).ExpectProblem(404, "task_not_found");
        (await worker.Api.PostAsync($"/api/v1/tasks/{done}/complete", new { attempt = 1 })).ExpectProblem(404, "task_not_found");
        (await alice.PostAsync($"/api/v1/tasks/{failed}/retry")).ExpectProblem(404, "task_not_found");
        Assert.Equal("pending", await alice.StatusAsync(waiting));
        Assert.Equal([waiting], (await alice.GetAsync("/api/v1/tasks")).Expect(200).Ids());
        Assert.NotEqual(done, (await alice.SubmitAsync(body)).Id());
        var tasks = (await broker.Admin.GetAsync("/api/v1/stats")).Expect(200).GetProperty("tasks");
        Assert.Equal(0, tasks.Number("failed"));
    }
}
