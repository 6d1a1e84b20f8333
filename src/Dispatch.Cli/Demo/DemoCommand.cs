using System.CommandLine;
using Dispatch.Cli.CommandLine;
namespace Dispatch.Cli.Demo;
internal static class DemoCommand { public static Command Create() => new DispatchCommand("demo","x"){Examples=["x"]}; }
