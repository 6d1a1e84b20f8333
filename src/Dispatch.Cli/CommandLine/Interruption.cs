using System.Runtime.InteropServices;
using Dispatch.Cli.Programs;

namespace Dispatch.Cli.CommandLine;

/// <summary>
/// Turns Ctrl+C, SIGTERM and a closed terminal into a request to stop. A second Ctrl+C ends the process at once.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource stop = new();
    private readonly List<PosixSignalRegistration> registrations = [];

    public Interruption()
    {
        Register(PosixSignal.SIGINT);
        Register(PosixSignal.SIGTERM);
        // Under nohup the signal is ignored, and listening to it would end what was meant to go on.
        if (OperatingSystem.IsWindows() || !Libc.IsIgnored(Libc.HangUp))
            Register(PosixSignal.SIGHUP);
    }

    /// <summary>
    /// What SIGHUP asks for instead of the end, as services have it; null: nothing. With a terminal as its input a process is no service,
    /// and is told that the terminal was closed.
    /// </summary>
    public static Action? OnHangUp { get; set; }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Stop => stop.Token;

    public void Dispose()
    {
        foreach (var registration in registrations)
            registration.Dispose();
        stop.Dispose();
    }

    private void Register(PosixSignal signal) => registrations.Add(PosixSignalRegistration.Create(signal, context =>
    {
        context.Cancel = true;
        if (signal == PosixSignal.SIGHUP && OnHangUp is { } act && Console.IsInputRedirected)
        {
            act();
            return;
        }

        if (stop.IsCancellationRequested && signal == PosixSignal.SIGINT)
            Environment.Exit(ExitCode.Interrupted);
        stop.Cancel();
    }));
}
