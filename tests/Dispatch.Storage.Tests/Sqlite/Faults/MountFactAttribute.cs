using System.Diagnostics;

namespace Dispatch.Storage.Tests.Sqlite.Faults;

/// <summary>A test that needs a small file system of its own. Skipped, with the reason, where none can be mounted.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class MountFactAttribute : FactAttribute
{
    private static readonly Lazy<string?> Obstacle = new(FindObstacle);

    public MountFactAttribute() => Skip = Obstacle.Value;

    private static string? FindObstacle()
    {
        if (!OperatingSystem.IsLinux())
            return "Mounts a tmpfs: Linux only.";

        using var directory = new TemporaryDirectory();
        try
        {
            new SmallDisk(directory.Path, "64k").Dispose();
            return null;
        }
        catch (Exception obstacle) when (obstacle is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            return $"Mounts a tmpfs, which needs root: {obstacle.Message}";
        }
    }
}

/// <summary>A tmpfs of a given size, mounted on a directory until disposed.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly string path;

    internal SmallDisk(string path, string size)
    {
        this.path = path;
        Run("mount", "-t", "tmpfs", "-o", $"size={size}", "tmpfs", path);
    }

    internal void MakeReadOnly() => Run("mount", "-o", "remount,ro", path);

    internal void Resize(string size) => Run("mount", "-o", $"remount,size={size}", path);

    public void Dispose() => Run("umount", "-l", path);

    private static void Run(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {error.Trim()}");
    }
}
