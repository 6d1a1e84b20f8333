using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Os;

/// <summary>
/// What systemd is told of a service of Type=notify, by the protocol of sd_notify(3): one datagram for each word to the socket that the
/// environment names. Nothing is told by a process that was not started so. A datagram that is not taken is logged and the broker goes on; systemd
/// acts by itself then: it waits for READY=1 and for WATCHDOG=1.
/// </summary>
internal sealed class ServiceSocket : IDisposable
{
    /// <summary>Variable: path of the socket, or @ and its abstract name.</summary>
    public const string SocketVariable = "NOTIFY_SOCKET";

    /// <summary>Variable: microseconds without WATCHDOG=1 after which the process is taken for dead.</summary>
    public const string WatchdogVariable = "WATCHDOG_USEC";

    /// <summary>Variable: the process of which the watchdog wants to hear; without it, any.</summary>
    public const string WatchdogProcessVariable = "WATCHDOG_PID";

    private readonly Socket? socket;
    private readonly string? address;
    private readonly ILogger logger;

    private ServiceSocket(string? address, TimeSpan? watchdog, ILogger logger)
    {
        this.address = address;
        this.logger = logger;
        Watchdog = watchdog;
        socket = address is null ? null : new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { Blocking = false };
    }

    /// <summary>How often <see cref="Alive"/> is to be called, half of what systemd allows as sd_watchdog_enabled(3) advises; null: not at all.</summary>
    public TimeSpan? Watchdog { get; }

    /// <summary>Reads the environment. A name or number that is not of the protocol's form is logged and counts as not set.</summary>
    /// <param name="variable">Value of an environment variable, or null.</param>
    /// <param name="process">Id of this process.</param>
    public static ServiceSocket Open(Func<string, string?> variable, int process, ILogger logger)
    {
        if (variable(SocketVariable) is not { Length: > 0 } name)
            return new ServiceSocket(null, null, logger);
        if (name.Length < 2 || name[0] is not ('/' or '@') || Encoding.UTF8.GetByteCount(name) > 107)
        {
            logger.ServiceSocketUnknown(name);
            return new ServiceSocket(null, null, logger);
        }

        return new ServiceSocket(name[0] == '@' ? "\0" + name[1..] : name, WatchdogOf(variable, process), logger);
    }

    /// <summary>It serves: units that come after it are started.</summary>
    public void Ready(string status) => Tell($"READY=1\nSTATUS={status}");

    /// <summary>The stop began.</summary>
    public void Stopping() => Tell("STOPPING=1\nSTATUS=Stopping: what was taken is committed and answered");

    /// <summary>It works.</summary>
    public void Alive() => Tell("WATCHDOG=1");

    public void Dispose() => socket?.Dispose();

    private static TimeSpan? WatchdogOf(Func<string, string?> variable, int process)
    {
        if (variable(WatchdogProcessVariable) is { Length: > 0 } wanted && wanted != process.ToString(CultureInfo.InvariantCulture))
            return null;
        return long.TryParse(variable(WatchdogVariable), NumberStyles.None, CultureInfo.InvariantCulture, out var micros) && micros > 1
            ? TimeSpan.FromMicroseconds(micros / 2)
            : null;
    }

    private void Tell(string words)
    {
        if (socket is null)
            return;
        try
        {
            // Not connected beforehand: the manager may be replaced by a newer one while the broker runs.
            socket.SendTo(Encoding.UTF8.GetBytes(words), new UnixDomainSocketEndPoint(address!));
        }
        catch (SocketException failure)
        {
            logger.ServiceSocketFailed(words.Split('\n')[0], failure.Message);
        }
    }
}

internal static partial class ServiceSocketMessages
{
    [LoggerMessage(EventId = 4801, Level = LogLevel.Warning, Message = "NOTIFY_SOCKET is {Name}, which is no path and no abstract name: systemd is not told anything")]
    public static partial void ServiceSocketUnknown(this ILogger logger, string name);

    [LoggerMessage(EventId = 4802, Level = LogLevel.Warning, Message = "systemd could not be told {Word}: {Reason}")]
    public static partial void ServiceSocketFailed(this ILogger logger, string word, string reason);

    [LoggerMessage(EventId = 4803, Level = LogLevel.Error, Message = "The sequencer has not turned for {Seconds} s: the watchdog is not told that all is well")]
    public static partial void WatchdogWithheld(this ILogger logger, int seconds);
}
