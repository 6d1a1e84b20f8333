using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Programs;

// Before anything of .NET looks at signals; see there.
if (!OperatingSystem.IsWindows())
    Libc.KeepExitCodes();

using var interruption = new Interruption();
return await DispatchCommandLine.RunAsync(args, interruption.Stop);
