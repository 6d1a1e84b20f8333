using System.CommandLine;
using Dispatch.Cli.CommandLine;
namespace Dispatch.Cli.Operations;
internal static class DoctorCommand { public static Command Create() => new DispatchCommand("doctor","x"){Examples=["x"]}; }
