using System.CommandLine;
using System.Reflection;
using System.Runtime.InteropServices;
using Dispatch.Cli.CommandLine;

namespace Dispatch.Cli.Operations;

/// <summary><c>dispatch version</c>.</summary>
internal static class VersionCommand
{
    /// <summary>The program's version without what the build appends to it.</summary>
    public static string Version { get; } =
        typeof(VersionCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];

    public static Command Create() => new DispatchCommand("version", "Say which version this is")
    {
        Examples = ["dispatch version", "dispatch version --json"],
    }.Does(run =>
    {
        var body = new VersionBody(Version, RuntimeInformation.FrameworkDescription, RuntimeInformation.RuntimeIdentifier);
        if (run.Screen.Json)
            run.Screen.WriteJson(CliJson.Write(body));
        run.Screen.Line($"dispatch {body.Version} ({body.Runtime}, {body.Platform})");
        return Task.FromResult(ExitCode.Ok);
    });
}

/// <summary>The version for a machine.</summary>
internal sealed record VersionBody(string Version, string Runtime, string Platform);
