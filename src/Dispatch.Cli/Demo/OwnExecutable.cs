using System.Collections;

namespace Dispatch.Cli.Demo;

/// <summary>How to run this very program again.</summary>
internal static class OwnExecutable
{
    /// <summary>The words before the arguments: the executable, or dotnet and the assembly when it was started that way.</summary>
    public static IReadOnlyList<string> Words { get; } = Find();

    /// <summary>
    /// This process's environment without anything that speaks of another broker. .NET's diagnostics are off: their files
    /// would stay behind in the temporary directory when a worker is killed.
    /// </summary>
    public static IReadOnlyCollection<string> CleanEnvironment { get; } =
        [.. Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .Where(variable => !((string)variable.Key).StartsWith("DISPATCH", StringComparison.OrdinalIgnoreCase))
            .Select(variable => $"{variable.Key}={variable.Value}"),
            "DOTNET_EnableDiagnostics=0"];

    private static IReadOnlyList<string> Find()
    {
        var process = Environment.ProcessPath ?? throw new InvalidOperationException("The path of this program is not known.");
        return Path.GetFileNameWithoutExtension(process) == "dotnet" ? [process, Path.Combine(AppContext.BaseDirectory, "dispatch.dll")] : [process];
    }
}
