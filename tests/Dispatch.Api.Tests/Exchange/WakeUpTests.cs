using System.Diagnostics;
using System.Text.Json;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Exchange;

public sealed class WakeUpTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private readonly TestBroker broker = shared.Broker;
    private readonly string capability = Unique.Name("cap");

    [Fact]
    public async Task No_task_waits_for_a_worker_that_waits_for_tasks()
    {
        const int Tasks = 150;
        using var stop = new CancellationTokenSource();
        var workers = new List<Task>();
        for (var n = 0; n < 3; n++)
        {
            // One at a time, so that each of them is soon waiting again.
            var worker = await broker.RegisterAsync(Unique.Name("agent"), capability, maxConcurrent: 1);
            workers.Add(WorkAsync(worker));
        }

        // A wake-up that got lost would cost the third of a lease, ten seconds.
        var slowest = TimeSpan.Zero;
        for (var n = 0; n < Tasks; n++)
        {
            var watch = Stopwatch.StartNew();
            var id = await broker.As("alice").SubmitForAsync(capability);
            Assert.Equal("completed", (await broker.As("alice").EndOfAsync(id)).Text("status"));
            slowest = watch.Elapsed > slowest ? watch.Elapsed : slowest;
        }

        await stop.CancelAsync();
        await Task.WhenAll(workers);
        Assert.InRange(slowest.TotalSeconds, 0, 5);

        async Task WorkAsync(Worker worker)
        {
            object? reports = null;
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    var answer = await worker.ExchangeAsync(reports, max: 1, waitMs: 60_000, cancel: stop.Token);
                    reports = answer.Items("tasks").Select(task => new { task_id = task.Id(), attempt = task.Number("attempt"), outcome = "completed" }).ToArray() is { Length: > 0 } done
                        ? new { reports = done }
                        : null;
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
        }
    }
}
