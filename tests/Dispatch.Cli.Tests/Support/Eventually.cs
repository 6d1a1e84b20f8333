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

    /// <summary>The first value for which it holds; fails the test when there is none in time.</summary>
    public static async Task<T> GetAsync<T>(Func<Task<T>> read, Func<T, bool> holds, string what)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var value = await read();
            if (holds(value))
                return value;
            Assert.True(waited.Elapsed < Patience, $"did not happen within {Patience.TotalSeconds} s: {what}; it is {value}");
        }
    }
}
