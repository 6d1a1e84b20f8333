using System.Globalization;
using Dispatch.Retention;

namespace Dispatch.Storage.Rows;

/// <summary>A note in <c>meta</c> of what the log takes in bytes up to an event, so that only the events behind have to be counted.</summary>
internal static class LogMark
{
    internal const string Key = "log_mark";

    /// <summary>What was written since is counted in the rows: so much at the most, about.</summary>
    internal const long Every = 4 << 20;

    internal static long BytesOf(int data) => data + LogExtent.EventBytes;

    internal static string Write(long sequence, long bytes) => string.Create(CultureInfo.InvariantCulture, $"{sequence} {bytes}");

    /// <param name="mark">Null while there is none.</param>
    /// <exception cref="FormatException">It is none.</exception>
    internal static (long Sequence, long Bytes) Read(string? mark)
    {
        var parts = (mark ?? "0 0").Split(' ');
        return parts.Length == 2 && TryParse(parts[0], out var sequence) && TryParse(parts[1], out var bytes)
            ? (sequence, bytes)
            : throw new FormatException($"{Key} is '{mark}'.");
    }

    /// <summary>A number in <c>meta</c>.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    internal static long Number(string key, string? text, long absent) =>
        text is null ? absent : TryParse(text, out var number) ? number : throw new FormatException($"{key} is '{text}'.");

    private static bool TryParse(string text, out long number) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
