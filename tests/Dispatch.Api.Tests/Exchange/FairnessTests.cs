using System.Collections.Concurrent;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Exchange;

public sealed class FairnessTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task Of_many_agents_that_wait_each_gets_its_share()
    {
        const int Agents = 20;
        const int Tasks = 200;
        var done = new ConcurrentDictionary<string, int>();
        var finished = 0;
        var workers = new List<Worker>();
        for (var n = 0; n < Agents; n++)
            workers.Add(await broker.RegisterAsync(Unique.Name("agent"), capability, maxConcurrent: 1));
        var running = workers.Select(WorkAsync).ToArray();

        await Task.WhenAll(Enumerable.Range(0, 10).Select(n => broker.As($"requester-{n}")
            .PostAsync("/api/v1/tasks", Enumerable.Range(0, Tasks / 10).Select(m => new { title = $"t{n}.{m}", scope = capability }))));
        await Task.WhenAll(running);

        Assert.Equal(Tasks, done.Values.Sum());
        Assert.Equal(Agents, done.Count);
        Assert.All(done.Values, share => Assert.InRange(share, 2, 3 * Tasks / Agents));

        async Task WorkAsync(Worker worker)
        {
            object? reports = null;
            while (Volatile.Read(ref finished) < Tasks)
            {
                var answer = await worker.ExchangeAsync(reports, max: 1, waitMs: 500);
                reports = null;
                foreach (var task in answer.Items("tasks"))
                {
                    // Each takes its while: a worker that is quicker than all others may well do more than they.
                    await Task.Delay(5);
                    done.AddOrUpdate(worker.Agent, 1, static (_, count) => count + 1);
                    Interlocked.Increment(ref finished);
                    reports = new { reports = new[] { new { task_id = task.Id(), attempt = task.Number("attempt"), outcome = "completed" } } };
                }
            }

            if (reports is not null)
                await worker.ExchangeAsync(reports, max: 0);
        }
    }

    [Fact]
    public async Task Waiting_agents_take_turns()
    {
        var workers = new List<Worker>();
        for (var n = 0; n < 4; n++)
            workers.Add(await broker.RegisterAsync(Unique.Name("agent"), capability));

        var tasks = (await broker.As("alice").PostAsync("/api/v1/tasks", Enumerable.Range(0, 8).Select(n => new { title = $"t{n}", scope = capability }))).Expect(201);

        Assert.All(tasks.Items().GroupBy(task => task.Text("assignee")), share => Assert.Equal(2, share.Count()));
        Assert.Equal(4, tasks.Items().Select(task => task.Text("assignee")).Distinct().Count());
    }
}
