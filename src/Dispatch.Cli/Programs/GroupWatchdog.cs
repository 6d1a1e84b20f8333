using System.Globalization;
using System.Text;

namespace Dispatch.Cli.Programs;

/// <summary>
/// Ends the process groups of this process's programs when this process is gone without a chance to do so itself,
/// as after SIGKILL.
/// </summary>
/// <remarks>
/// It is a shell in a session of its own that reads from a pipe which groups exist. Only this process holds the other
/// end, so the pipe closes when this process ends, however it ends. Every group still on the list is then asked to
/// end, and killed after the grace. A program killed between its start and the line naming it is the one gap.
/// Thread safe.
/// </remarks>
internal sealed class GroupWatchdog : IAsyncDisposable
{
    private const string Script = """
        trap '' INT TERM HUP QUIT
        groups=' '
        while read -r what group; do
          case $what in
            +) groups="$groups$group " ;;
            -) case $groups in *" $group "*) groups="${groups%%" $group "*} ${groups#*" $group "}" ;; esac ;;
          esac
        done
        left=' '
        for group in $groups; do kill -s TERM -- "-$group" && left="$left$group "; done 2>/dev/null
        ticks=$1
        while [ "$left" != ' ' ] && [ "$ticks" -gt 0 ]; do
          sleep 0.1
          ticks=$((ticks - 1))
          groups=$left
          left=' '
          for group in $groups; do kill -s 0 -- "-$group" && left="$left$group "; done 2>/dev/null
        done
        for group in $left; do kill -s KILL -- "-$group"; done 2>/dev/null
        """;

    private readonly Lock gate = new();
    private readonly PosixProcess shell;
    private readonly Action<string> warn;
    private bool lost;

    private GroupWatchdog(PosixProcess shell, Action<string> warn)
    {
        this.shell = shell;
        this.warn = warn;
    }

    /// <summary>The watchdog's own process id.</summary>
    public int Id => shell.Id;

    /// <summary>Starts a watchdog; null, after a warning, where there is no shell to run it.</summary>
    /// <param name="grace">Time between asking and killing.</param>
    /// <param name="warn">Takes a sentence for the person who runs this.</param>
    public static GroupWatchdog? Start(TimeSpan grace, Action<string> warn)
    {
        var ticks = ((int)Math.Ceiling(grace.TotalSeconds * 10)).ToString(CultureInfo.InvariantCulture);
        try
        {
            string[] path = ["PATH=" + (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin")];
            return new GroupWatchdog(PosixProcess.Start(["/bin/sh", "-c", Script, "dispatch-watchdog", ticks], path, watchdog: null, ownSession: true), warn);
        }
        catch (ProgramNotStartedException e)
        {
            warn($"programs would outlive this worker if it were killed outright: {e.Message}");
            return null;
        }
    }

    /// <summary>From now on this group is ended when this process is gone.</summary>
    public void Guard(int group) => Tell('+', group);

    /// <summary>This group has ended. To be called before its leader is collected, while the id is still its own.</summary>
    public void Release(int group) => Tell('-', group);

    /// <summary>Lets the watchdog end; it has nothing to do when every group was released.</summary>
    public async ValueTask DisposeAsync()
    {
        await shell.Input.DisposeAsync();
        await shell.Exited;
        await shell.DisposeAsync();
    }

    private void Tell(char what, int group)
    {
        lock (gate)
        {
            if (lost)
                return;
            try
            {
                shell.Input.Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{what} {group}\n")));
            }
            catch (IOException)
            {
                lost = true;
                warn("the watchdog process is gone: programs would now outlive this worker if it were killed outright");
            }
        }
    }
}
