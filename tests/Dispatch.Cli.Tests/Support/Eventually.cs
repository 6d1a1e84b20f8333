using System.Diagnostics;

namespace Dispatch.Cli.Tests.Support;

/// <summary>Waits for what other processes bring about.</summary>
public static class Eventually
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>Returns once it holds; fails the test when it does not in time.</summary>
    public static async Task HoldsAsync(Func<bool> condition, string what)
    {
        var waited = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(waited.Elapsed < Patience, $"did not happen within {Patience.TotalSeconds} s: {what}");
            await Task.Delay(10);
        }
    }
}
