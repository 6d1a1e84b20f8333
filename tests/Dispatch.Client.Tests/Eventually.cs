using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Dispatch.Client.Tests;

internal static class Eventually
{
    /// <summary>Waits until a condition holds; fails the test when it does not within 20 s.</summary>
    public static async Task BeTrueAsync(Func<bool> condition, [CallerArgumentExpression(nameof(condition))] string what = "")
    {
        var watch = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), $"Not within 20 s: {what}");
            await Task.Delay(5);
        }
    }
}
