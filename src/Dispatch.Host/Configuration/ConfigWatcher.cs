using Dispatch.Host.Telemetry;
using Dispatch.Sequencing;
using Dispatch.Settings;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Configuration;

/// <summary>
/// Follows the file that the broker was started with. A change that is valid as a whole is put in force as far as a running broker can;
/// anything else changes nothing. It looks by itself rather than being told by the system, whose notices differ between systems, do not
/// come from some file systems, and follow no link.
/// </summary>
internal sealed class ConfigWatcher
{
    private const int MostFaults = 20;

    private static readonly TimeSpan Period = TimeSpan.FromSeconds(2);

    // A file that is the same after so long is not being written.
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(250);

    private readonly LoadedConfig started;
    private readonly LiveConfig live;
    private readonly Sequencer sequencer;
    private readonly TimeProvider clock;
    private readonly ILogger<ConfigWatcher> logger;
    private volatile ConfigStatus status = ConfigStatus.Started;
    private TaskCompletionSource asked = NewRequest();
    private ConfigReading? known;
    private DispatchConfig told;
    private bool isOwed;

    public ConfigWatcher(LoadedConfig started, LiveConfig live, Sequencer sequencer, DispatchMetrics metrics, TimeProvider clock, ILogger<ConfigWatcher> logger)
    {
        this.started = started;
        this.live = live;
        this.sequencer = sequencer;
        this.clock = clock;
        this.logger = logger;
        told = started.Config;
        metrics.ObserveConfig(() => status);
    }

    /// <summary>Ends when it was stopped.</summary>
    public Task Ended { get; private set; } = Task.CompletedTask;

    public void Start(CancellationToken stop)
    {
        if (started is { IsRepeatable: true, File: { } file })
            Ended = LoopAsync(file, stop);
    }

    /// <summary>Looks at once, and says what it found also when that is nothing new.</summary>
    public void LookNow()
    {
        if (started.IsRepeatable)
            Volatile.Read(ref asked).TrySetResult();
        else
            logger.NoConfigFile();
    }

    private async Task LoopAsync(string file, CancellationToken stop)
    {
        try
        {
            // It may have changed while the broker started.
            var isAsked = false;
            while (true)
            {
                try
                {
                    await LookAsync(file, isAsked, stop);
                }
                catch (Exception failure) when (failure is not OperationCanceledException)
                {
                    // Whatever it is, the next change is looked at: the broker serves without it.
                    status = status with { IsValid = false };
                    logger.ConfigAway(file, $"can't be read: {failure.Message}");
                }

                isAsked = await PauseAsync(stop);
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    /// <summary>True when somebody asks before the pause is over.</summary>
    private async Task<bool> PauseAsync(CancellationToken stop)
    {
        var request = asked.Task;
        using var timer = CancellationTokenSource.CreateLinkedTokenSource(stop);
        await Task.WhenAny(request, Task.Delay(Period, clock, timer.Token));
        await timer.CancelAsync();
        stop.ThrowIfCancellationRequested();
        if (!request.IsCompleted)
            return false;
        Volatile.Write(ref asked, NewRequest());
        return true;
    }

    private async Task LookAsync(string file, bool isAsked, CancellationToken stop)
    {
        var reading = await ConfigReading.TakeAsync(file, stop);
        if (reading == known && !isAsked && !isOwed)
            return;

        reading = await reading.SettleAsync(file, () => Task.Delay(Settling, clock, stop), stop);

        // A change and its taking back between two looks.
        if (reading == known && !isAsked && !isOwed)
            return;

        var (isFirst, wasOwed) = (known is null, isOwed);
        (known, isOwed) = (reading, false);
        if (reading.Problem is { } problem)
        {
            status = status with { IsValid = false };
            logger.ConfigAway(file, problem);
            return;
        }

        switch (ConfigLoader.Load(started.Inputs with { File = file, Content = reading.Content }))
        {
            case ConfigOutcome.Loaded loaded:
                status = status with { IsValid = true };
                await TakeOverAsync(file, loaded.Config.Config, isFirst, wasOwed);
                break;
            case ConfigOutcome.Faulty faulty:
                status = status with { IsValid = false };
                logger.ConfigWrong(file, Tell(faulty.Faults));
                break;
        }
    }

    private async Task TakeOverAsync(string file, DispatchConfig wanted, bool isFirst, bool wasOwed)
    {
        var running = live.Current;
        var next = running;
        var applied = new List<string>();
        var needRestart = new List<string>();
        foreach (var key in ConfigKeys.All.Where(key => !key.IsSame(wanted, running)))
        {
            if (key.IsLive)
                next = key.Copy(wanted, next);
            (key.IsLive ? applied : needRestart).Add(key.Path);
        }

        if (applied.Count == 0 && ConfigKeys.All.All(key => key.IsLive || key.IsSame(wanted, told)))
        {
            if (isFirst)
                logger.ConfigFollowed(file);
            else
                logger.ConfigUnchanged(file);
            return;
        }

        try
        {
            // When its commit's outcome is unknown it may have happened, and happens again: the log then tells of it twice.
            await sequencer.ExecuteAsync(new ChangeSettings(Broker.StateOptionsOf(next), [.. applied], [.. needRestart]));
        }
        catch (RefusedException refused)
        {
            if (!wasOwed)
                logger.ConfigWaits(file, refused.Message);
            isOwed = true;
            return;
        }

        told = wanted;
        live.Change(next);
        status = status with { NeedRestart = needRestart.Count, Reloads = status.Reloads + 1 };
        logger.ConfigReloaded(file, Names(applied));
        if (needRestart.Count > 0)
            logger.ConfigNeedsRestart(Names(needRestart));
    }

    private static TaskCompletionSource NewRequest() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static string Names(List<string> keys) => keys.Count == 0 ? "none" : string.Join(", ", keys);

    private static string Tell(IReadOnlyList<ConfigFault> faults) =>
        string.Join("; ", faults.Take(MostFaults)) + (faults.Count > MostFaults ? $"; and {faults.Count - MostFaults} more" : "");
}

/// <param name="IsValid">Whether a broker would start with the file as it is now.</param>
/// <param name="NeedRestart">Keys with another value in the file than in force.</param>
/// <param name="Reloads">Changes taken over since the start.</param>
internal sealed record ConfigStatus(bool IsValid, int NeedRestart, int Reloads)
{
    public static ConfigStatus Started { get; } = new(true, 0, 0);
}

internal static partial class ConfigMessages
{
    [LoggerMessage(EventId = 4601, Level = LogLevel.Information, Message = "{File} was changed and read again; in force now: {Keys}")]
    public static partial void ConfigReloaded(this ILogger logger, string file, string keys);

    [LoggerMessage(EventId = 4602, Level = LogLevel.Warning, Message = "These settings of the file take effect at the next start: {Keys}")]
    public static partial void ConfigNeedsRestart(this ILogger logger, string keys);

    [LoggerMessage(EventId = 4603, Level = LogLevel.Information, Message = "{File} was read again; no setting is new")]
    public static partial void ConfigUnchanged(this ILogger logger, string file);

    [LoggerMessage(EventId = 4604, Level = LogLevel.Error, Message = "{File} is not valid, and nothing was changed: {Faults}")]
    public static partial void ConfigWrong(this ILogger logger, string file, string faults);

    [LoggerMessage(EventId = 4605, Level = LogLevel.Warning, Message = "{File} {Problem}; the settings in force stay as they are")]
    public static partial void ConfigAway(this ILogger logger, string file, string problem);

    [LoggerMessage(EventId = 4606, Level = LogLevel.Warning, Message = "{File} was changed, which takes effect when the broker takes writes again: {Reason}")]
    public static partial void ConfigWaits(this ILogger logger, string file, string reason);

    [LoggerMessage(EventId = 4608, Level = LogLevel.Information, Message = "Changes of {File} are followed")]
    public static partial void ConfigFollowed(this ILogger logger, string file);

    [LoggerMessage(EventId = 4607, Level = LogLevel.Warning, Message = "The broker was started without a configuration file that can be read again; nothing was changed")]
    public static partial void NoConfigFile(this ILogger logger);
}
