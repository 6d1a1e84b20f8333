using System.CommandLine;
using System.Runtime.CompilerServices;
using Dispatch.Cli.CommandLine;
using Dispatch.Host.Configuration;

namespace Dispatch.Cli.Operations;

/// <summary>The broker's configuration as this command line, the environment and the file make it.</summary>
/// <remarks>Kept apart from the commands that use it, so that those that do not need the broker never load its assemblies.</remarks>
internal static class Configuration
{
    public static Option<string?> FileOption { get; } = new("--config")
    {
        Description = "The configuration file [./dispatch.yaml, else ~/.dispatch/dispatch.yaml]",
        HelpName = "FILE",
    };

    /// <summary>Loads it.</summary>
    /// <param name="run">Holds --config and --data-dir.</param>
    /// <param name="overrides">Values of the command line by dotted key.</param>
    /// <param name="consequence">What its faults led to, behind a semicolon.</param>
    /// <param name="next">What to do when it is mended; null: the same again.</param>
    /// <param name="file">The file; null: that of --config, or where it is looked for.</param>
    /// <exception cref="CommandException">Something in it is wrong; all of it is told.</exception>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static LoadedConfig Load(Invocation run, IReadOnlyDictionary<string, string> overrides, string? consequence = null, string? next = null, string? file = null)
    {
        var outcome = ConfigLoader.Load(new ConfigInputs
        {
            File = file ?? run.Get(FileOption),
            DataDirectory = run.Get(GlobalOptions.DataDirectory),
            Overrides = overrides,
        });
        return outcome switch
        {
            ConfigOutcome.Loaded loaded => loaded.Config,
            ConfigOutcome.Faulty faulty => throw new CommandException(
                new CommandFault(ExitCode.Usage, "configuration", $"The configuration is wrong{(consequence is null ? "" : "; " + consequence)}.", next)
                {
                    Details = [.. faulty.Faults.Select(fault => fault.ToString())],
                }),
            _ => throw new InvalidOperationException("Loading came to something unknown."),
        };
    }
}
