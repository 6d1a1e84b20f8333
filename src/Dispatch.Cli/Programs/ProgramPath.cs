namespace Dispatch.Cli.Programs;

/// <summary>Finds programs the way the operating system will.</summary>
internal static class ProgramPath
{
    /// <summary>Whether there is a program of this name: a path as it is, a plain name in PATH.</summary>
    public static bool Exists(string program)
    {
        if (program.Contains('/') || program.Contains(Path.DirectorySeparatorChar))
            return File.Exists(program);

        var names = OperatingSystem.IsWindows() ? new[] { program, program + ".exe", program + ".cmd" } : [program];
        var directories = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        return directories.Any(directory => names.Any(name => File.Exists(Path.Combine(directory, name))));
    }
}
