namespace Dispatch.Api.Tests.Support;

/// <summary>Names that no other test uses.</summary>
public static class Unique
{
    private static int last;

    public static string Name(string kind) => $"{kind}-{Interlocked.Increment(ref last)}";

    public static string Id() => Guid.NewGuid().ToString();
}
