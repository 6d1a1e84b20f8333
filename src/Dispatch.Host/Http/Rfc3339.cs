using System.Globalization;

namespace Dispatch.Host.Http;

/// <summary>
/// Times in requests: date and time of RFC 3339 with a zone, and nothing else. The framework's own parsing takes much that only looks
/// like one, and guesses.
/// </summary>
internal static class Rfc3339
{
    private const int Seconds = 19;

    /// <param name="unixMs">Unix milliseconds; what is finer is cut off.</param>
    public static bool TryParse(ReadOnlySpan<char> text, out long unixMs)
    {
        unixMs = 0;
        if (text.Length <= Seconds || text[10] is not ('T' or 't')
            || !DateOnly.TryParseExact(text[..10], "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var date)
            || !TimeOnly.TryParseExact(text[11..Seconds], "HH:mm:ss", CultureInfo.InvariantCulture, DateTimeStyles.None, out var time))
        {
            return false;
        }

        var rest = text[Seconds..];
        var milliseconds = 0;
        if (rest[0] == '.')
        {
            var digits = rest[1..].IndexOfAnyExceptInRange('0', '9');
            if (digits <= 0)
                return false;
            for (var i = 0; i < 3; i++)
                milliseconds = (milliseconds * 10) + (i < digits ? rest[1 + i] - '0' : 0);
            rest = rest[(1 + digits)..];
        }

        if (!TryZone(rest, out var minutes))
            return false;
        unixMs = ((date.ToDateTime(time).Ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMillisecond) + milliseconds - (minutes * 60_000L);
        return unixMs >= DateTimeOffset.MinValue.ToUnixTimeMilliseconds() && unixMs <= DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();
    }

    private static bool TryZone(ReadOnlySpan<char> zone, out int minutes)
    {
        minutes = 0;
        if (zone is "Z" or "z")
            return true;
        if (zone.Length != 6 || zone[0] is not ('+' or '-')
            || !TimeOnly.TryParseExact(zone[1..], "HH:mm", CultureInfo.InvariantCulture, DateTimeStyles.None, out var offset))
        {
            return false;
        }

        minutes = ((offset.Hour * 60) + offset.Minute) * (zone[0] == '-' ? -1 : 1);
        return true;
    }
}
