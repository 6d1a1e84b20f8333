using System.Diagnostics;
using Xunit.Sdk;

namespace Dispatch.Api.Tests.Support;

/// <summary>Waits for what comes about by itself, and fails when it does not.</summary>
public static class Eventually
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    /// <summary>Looks again and again until it is so.</summary>
    public static async Task<T> GetAsync<T>(Func<Task<T>> look, Predicate<T> isSo, string what)
    {
        var watch = Stopwatch.StartNew();
        for (var pause = 5; ; pause = Math.Min(pause * 2, 100))
        {
            var seen = await look();
            if (isSo(seen))
                return seen;
            if (watch.Elapsed > Deadline)
                throw new XunitException($"Not within {Deadline.TotalSeconds} s: {what}. Last seen: {seen}");
            await Task.Delay(pause);
        }
    }

    public static Task HoldsAsync(Func<Task<bool>> look, string what) => GetAsync(look, static so => so, what);

    public static Task HoldsAsync(Func<bool> look, string what) => GetAsync(() => Task.FromResult(look()), static so => so, what);
}
