using System.Globalization;

namespace Dispatch.Cli.Terminal;

/// <summary>Numbers of things in a sentence.</summary>
internal static class Plural
{
    /// <summary>The number and the thing: <c>1 attempt</c>, <c>1,200 attempts</c>.</summary>
    /// <param name="count">How many.</param>
    /// <param name="one">One of them, of which more have an s at the end.</param>
    public static string Of(long count, string one) => string.Create(CultureInfo.InvariantCulture, $"{count:N0} {one}{(count == 1 ? "" : "s")}");
}
