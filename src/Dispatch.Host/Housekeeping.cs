using Dispatch.Agents;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http;
using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Dispatch.Tasks;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host;

/// <summary>What the broker does by itself from time to time: removes finished tasks past their retention, refreshes the gauges.</summary>
internal sealed class Housekeeping : IDisposable
{
    // One sweep looks at so many rows and removes what it finds in one commit: small enough not to be felt.
    private const int Examined = 1_000;

    private readonly Sequencer sequencer;
    private readonly IStore store;
    private readonly LiveConfig config;
    private readonly TimeProvider clock;
    private readonly PeriodicTimer timer;
    private readonly ILogger<Housekeeping> logger;
    private BrokerGauges gauges = new(new long[9], new long[5], 0, 0, 0, 0);
    private long sweptTo;

    public Housekeeping(Sequencer sequencer, IStore store, LiveConfig config, DispatchMetrics metrics, TimeProvider clock, ILogger<Housekeeping> logger)
    {
        this.sequencer = sequencer;
        this.store = store;
        this.config = config;
        this.clock = clock;
        timer = new PeriodicTimer(config.Current.Retention.Sweep, clock);
        config.Changed += now => timer.Period = now.Retention.Sweep;
        this.logger = logger;
        metrics.Observe(() => gauges with { QueueDepth = sequencer.QueueDepth, Sequence = sequencer.CommittedSequence });
    }

    /// <summary>Ends when it was stopped.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    public void Start(CancellationToken stop) => Ended = LoopAsync(stop);

    /// <summary>A period has passed. For what is done now and then beside the sweep; one timer for all keeps an idle broker idle.</summary>
    public event Action? Ticked;

    public void Dispose() => timer.Dispose();

    /// <summary>Brings the gauges up to date; they stay as they are while the sequencer takes no commands.</summary>
    public async Task RefreshAsync()
    {
        try
        {
            var stats = await sequencer.ExecuteAsync(new ReadStats());
            var agents = new long[Enum.GetValues<AgentStatus>().Length];
            foreach (var view in stats.Agents)
                agents[(int)view.Agent.Status]++;
            gauges = new BrokerGauges(
                stats.Totals, agents, sequencer.QueueDepth, stats.OldestPendingMs, stats.Sequence,
                stats.Totals[(int)TaskState.Failed] + stats.Totals[(int)TaskState.Timeout]);
        }
        catch (RefusedException)
        {
            // Busy, or the store is away: the last numbers stand, and /ready tells the reason.
        }
    }

    /// <summary>One step of the retention sweep; true when there may be more to remove at once.</summary>
    public async Task<bool> SweepOnceAsync(CancellationToken cancel)
    {
        var before = clock.GetUtcNow().ToUnixTimeMilliseconds() - (long)config.Current.Retention.FinishedTasks.TotalMilliseconds;
        var asOf = sequencer.CommittedSequence;
        var (expired, next) = await store.FindExpiredAsync(sweptTo, before, Examined, cancel);
        if (expired.Count > 0)
            await sequencer.ExecuteAsync(new PruneTasks(expired, asOf));
        sweptTo = next;
        return next > 0;
    }

    private async Task LoopAsync(CancellationToken stop)
    {
        try
        {
            while (await timer.WaitForNextTickAsync(stop))
            {
                try
                {
                    Ticked?.Invoke();
                    await RefreshAsync();
                    while (await SweepOnceAsync(stop))
                        stop.ThrowIfCancellationRequested();
                }
                catch (Exception failure) when (failure is not OperationCanceledException)
                {
                    // Whatever it is, the next period tries again: the broker serves without it.
                    logger.SweepFailed(failure.Message);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }
}
