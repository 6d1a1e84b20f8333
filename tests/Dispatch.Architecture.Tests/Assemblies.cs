using System.Reflection;

namespace Dispatch.Architecture.Tests;

/// <summary>The assemblies built from <c>src/</c>, as they lie beside the tests.</summary>
internal static class Assemblies
{
    public static readonly Assembly Core = Load("Dispatch.Core");
    public static readonly Assembly Storage = Load("Dispatch.Storage");
    public static readonly Assembly Host = Load("Dispatch.Host");
    public static readonly Assembly Client = Load("Dispatch.Client");
    public static readonly Assembly Command = Load("dispatch");

    public static readonly IReadOnlyList<Assembly> All = [Core, Storage, Host, Client, Command];

    private static Assembly Load(string name) => Assembly.Load(new AssemblyName(name));
}
