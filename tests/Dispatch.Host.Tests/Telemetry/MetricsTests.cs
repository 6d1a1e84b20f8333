using System.Diagnostics.Metrics;
using Dispatch.Agents;
using Dispatch.Host.Telemetry;
using Dispatch.Tasks;

namespace Dispatch.Host.Tests.Telemetry;

// One after the other: an exporter listens to every meter called Dispatch, and allocates.
[Collection("Listeners")]
public sealed class MetricsTests
{
    [Fact]
    public void The_page_holds_every_instrument_of_the_contract()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        metrics.Observe(() => new BrokerGauges([0, 1, 2, 3, 4, 5, 6, 7, 8], [9, 8, 7, 6, 5], QueueDepth: 11, OldestPendingMs: 1500, Sequence: 12345678901, DeadLetters: 3));
        metrics.RecordSubmitted(5);
        metrics.RecordAssignment(queuedMs: 30);
        metrics.RecordAttempt(AttemptOutcome.Completed, runMs: 1000);
        metrics.RecordAttempt(AttemptOutcome.Lost, runMs: 4_000_000);
        metrics.RecordCommit(commands: 100, TimeSpan.FromMilliseconds(2));
        metrics.RecordCommitFailure();
        metrics.RecordRequest("POST", "/api/v1/tasks", 201, TimeSpan.FromMilliseconds(1));
        metrics.RecordRequest("BREW", null, 999, TimeSpan.FromMilliseconds(1));
        metrics.RecordRateLimited();
        metrics.RecordAllowanceExceeded();
        metrics.ObserveReady(() => true);
        metrics.ObserveDisk(() => 17);
        metrics.ObserveWebhooks(() => new WebhookGauges(Delivering: 3, Failing: 2, Disabled: 1));

        var text = PrometheusText.Parse(page.Write());

        Assert.Equal(2, text["dispatch_tasks{status=\"pending\"}"]);
        Assert.Equal(8, text["dispatch_tasks{status=\"cancelled\"}"]);
        Assert.Equal(9, text["dispatch_agents{status=\"ready\"}"]);
        Assert.Equal(5, text["dispatch_agents{status=\"offline\"}"]);
        Assert.Equal(11, text["dispatch_queue_depth"]);
        Assert.Equal(1.5, text["dispatch_oldest_pending_seconds"]);
        Assert.Equal(12345678901, text["dispatch_log_sequence"]);
        Assert.Equal(3, text["dispatch_dead_letters"]);
        Assert.Equal(5, text["dispatch_tasks_submitted_total"]);
        Assert.Equal(1, text["dispatch_assignments_total"]);
        Assert.Equal(1, text["dispatch_task_queue_seconds_count"]);
        Assert.Equal(0.03, text["dispatch_task_queue_seconds_sum"]);
        Assert.Equal(0, text["dispatch_task_queue_seconds_bucket{le=\"0.025\"}"]);
        Assert.Equal(1, text["dispatch_task_queue_seconds_bucket{le=\"0.05\"}"]);
        Assert.Equal(1, text["dispatch_task_run_seconds_bucket{le=\"1\"}"]);
        Assert.Equal(1, text["dispatch_task_run_seconds_bucket{le=\"3600\"}"]);
        Assert.Equal(2, text["dispatch_task_run_seconds_bucket{le=\"+Inf\"}"]);
        Assert.Equal(1, text["dispatch_attempts_total{outcome=\"completed\"}"]);
        Assert.Equal(1, text["dispatch_attempts_total{outcome=\"lost\"}"]);
        Assert.Equal(1, text["dispatch_commit_seconds_count"]);
        Assert.Equal(1, text["dispatch_batch_size_bucket{le=\"128\"}"]);
        Assert.Equal(0, text["dispatch_batch_size_bucket{le=\"64\"}"]);
        Assert.Equal(1, text["dispatch_commit_failures_total"]);
        Assert.Equal(1, text["dispatch_requests_total{method=\"POST\",route=\"/api/v1/tasks\",status=\"2xx\"}"]);
        Assert.Equal(1, text["dispatch_requests_total{method=\"other\",route=\"none\",status=\"other\"}"]);
        Assert.Equal(1, text["dispatch_request_seconds_count{method=\"POST\",route=\"/api/v1/tasks\",status=\"2xx\"}"]);
        Assert.Equal(1, text["dispatch_rate_limited_total"]);
        Assert.Equal(1, text["dispatch_allowances_exceeded_total"]);
        Assert.Equal(1, text["dispatch_ready"]);
        Assert.Equal(17, text["dispatch_disk_free_bytes"]);
        Assert.Equal(3, text["dispatch_webhooks{state=\"delivering\"}"]);
        Assert.Equal(2, text["dispatch_webhooks{state=\"failing\"}"]);
        Assert.Equal(1, text["dispatch_webhooks{state=\"disabled\"}"]);
        Assert.Equal(1, text["dispatch_build_info{version=\"0.1.0\"}"]);
        Assert.True(text["process_resident_memory_bytes"] > 1_000_000);
        Assert.True(text["process_cpu_seconds_total"] > 0);
        Assert.InRange(text["process_start_time_seconds"], 1_700_000_000, 10_000_000_000);
        Assert.True(text["dotnet_gc_heap_bytes"] > 0);
        Assert.True(text.Samples.ContainsKey("dotnet_gc_collections_total{generation=\"2\"}"));
    }

    [Fact]
    public void Before_anything_happens_the_page_is_whole()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        var text = PrometheusText.Parse(page.Write());
        Assert.Equal(0, text["dispatch_assignments_total"]);
        Assert.Equal(0, text["dispatch_commit_seconds_bucket{le=\"+Inf\"}"]);
        Assert.False(text.Samples.ContainsKey("dispatch_queue_depth"));
    }

    [Fact]
    public void Scrapes_do_not_add_up_what_is_observed()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        int depth = 5;
        metrics.Observe(() => new BrokerGauges([1], [1], depth, 0, 0, 0));
        Assert.Equal(5, PrometheusText.Parse(page.Write())["dispatch_queue_depth"]);
        depth = 2;
        Assert.Equal(2, PrometheusText.Parse(page.Write())["dispatch_queue_depth"]);
    }

    [Fact]
    public void No_measurement_is_lost_among_threads()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        Parallel.For(0, 100_000, i =>
        {
            metrics.RecordAssignment(queuedMs: 250);
            metrics.RecordRequest("GET", i % 2 == 0 ? "/a" : "/b", 200, TimeSpan.FromMilliseconds(250));
            if (i % 1000 == 0)
                PrometheusText.Parse(page.Write());
        });

        var text = PrometheusText.Parse(page.Write());
        Assert.Equal(100_000, text["dispatch_assignments_total"]);
        Assert.Equal(25_000, text["dispatch_task_queue_seconds_sum"], 3);
        Assert.Equal(100_000, text["dispatch_task_queue_seconds_bucket{le=\"0.25\"}"]);
        Assert.Equal(0, text["dispatch_task_queue_seconds_bucket{le=\"0.1\"}"]);
        Assert.Equal(50_000, text["dispatch_requests_total{method=\"GET\",route=\"/b\",status=\"2xx\"}"]);
        Assert.Equal(12_500, text["dispatch_request_seconds_sum{method=\"GET\",route=\"/a\",status=\"2xx\"}"], 3);
    }

    [Fact]
    public void Label_values_are_escaped()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        metrics.RecordRequest("GET", "a\"b\\c\nd", 200, TimeSpan.Zero);
        Assert.Equal(1, PrometheusText.Parse(page.Write())["dispatch_requests_total{method=\"GET\",route=\"a\\\"b\\\\c\\nd\",status=\"2xx\"}"]);
    }

    [Fact]
    public void Labels_without_end_take_bounded_memory()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        for (int i = 0; i < 5_000; i++)
            metrics.RecordRequest("GET", "/" + i, 200, TimeSpan.Zero);
        var text = PrometheusText.Parse(page.Write());
        Assert.InRange(text.Samples.Keys.Count(key => key.StartsWith("dispatch_requests_total", StringComparison.Ordinal)), 1_000, 2_100);
        Assert.True(text["dispatch_requests_total{method=\"other\",route=\"other\",status=\"other\"}"] > 0);
    }

    [Fact]
    public void Another_meter_of_the_same_name_is_not_on_the_page()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        using var other = new Meter("Dispatch");
        other.CreateCounter<long>("foreign_total").Add(1);
        Assert.DoesNotContain("foreign", page.Write());
    }

    [Fact]
    public void Recording_allocates_nothing()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);

        void Record()
        {
            metrics.RecordSubmitted(1);
            metrics.RecordAssignment(1);
            metrics.RecordAttempt(AttemptOutcome.Failed, 1);
            metrics.RecordCommit(1, TimeSpan.FromMilliseconds(1));
            metrics.RecordRequest("POST", "/api/v1/tasks", 201, TimeSpan.FromMilliseconds(1));
        }

        Record();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1_000; i++)
            Record();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Every_state_of_the_core_has_its_label()
    {
        using var metrics = new DispatchMetrics();
        using var page = new PrometheusPage(metrics);
        metrics.Observe(() => new BrokerGauges(new long[Enum.GetValues<TaskState>().Length], new long[Enum.GetValues<AgentStatus>().Length], 0, 0, 0, 0));
        var text = PrometheusText.Parse(page.Write());
        Assert.All(
            (string[])["scheduled", "blocked", "pending", "assigned", "running", "completed", "failed", "timeout", "cancelled"],
            status => Assert.Equal(0, text[$"dispatch_tasks{{status=\"{status}\"}}"]));
        Assert.All(
            (string[])["ready", "busy", "sleeping", "degraded", "offline"],
            status => Assert.Equal(0, text[$"dispatch_agents{{status=\"{status}\"}}"]));
    }

    [Fact]
    public async Task The_page_is_served_with_its_content_type_and_counts_requests()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        await host.SendAsync(HttpMethod.Get, "/api/v1/whoami", agent: "a");
        await host.SendAsync(HttpMethod.Get, "/nothing");
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/metrics");

        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", response.Content.Headers.ContentType?.ToString());
        var text = PrometheusText.Parse(await response.Content.ReadAsStringAsync());
        Assert.Equal(1, text["dispatch_requests_total{method=\"GET\",route=\"/api/v1/whoami\",status=\"2xx\"}"]);
        Assert.Equal(1, text["dispatch_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}"]);
        Assert.Equal(0, text["dispatch_log_lines_dropped_total"]);
    }
}
