using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Allowances;

[JsonConverter(typeof(SnakeCaseEnumConverter<WindowKind>))]
public enum WindowKind : byte
{
    /// <summary>What was used stays used.</summary>
    Lifetime,
    Hour,
    Day,

    /// <summary>From <see cref="LimitWindow.ResetDay"/> to the same day of the next week.</summary>
    Week,

    /// <summary>From <see cref="LimitWindow.ResetDay"/> of the month; in a month that has no such day, from its last.</summary>
    Month,

    /// <summary>The last <see cref="LimitWindow.RollingMs"/> before now, in sixty steps.</summary>
    Rolling,
}

/// <summary>When what was used counts no more.</summary>
/// <param name="TimeZone">IANA name, in which days begin. UTC when it is not given.</param>
/// <param name="ResetHour">The hour at which a day, week or month begins, 0..23.</param>
/// <param name="ResetDay">Week: 1 Monday to 7 Sunday; month: 1..31. 1 when it is not given.</param>
/// <param name="RollingMs">With <see cref="WindowKind.Rolling"/>: its length, a minute to 366 days.</param>
public sealed record LimitWindow(WindowKind Kind, string? TimeZone = null, int ResetHour = 0, int ResetDay = 1, long RollingMs = 0)
{
    public static readonly LimitWindow Lifetime = new(WindowKind.Lifetime);

    /// <summary>Steps of a rolling window: what was used comes back with its whole step.</summary>
    internal const int Steps = 60;

    /// <summary>True when it begins anew at a time that the calendar knows.</summary>
    [JsonIgnore]
    public bool IsCalendar => Kind is WindowKind.Hour or WindowKind.Day or WindowKind.Week or WindowKind.Month;

    [JsonIgnore]
    internal long StepMs => RollingMs / Steps;

    /// <summary>The calendar window that a time lies in, in Unix milliseconds: from its start until just before its end.</summary>
    /// <remarks>
    /// A reset hour that daylight saving skips is taken at the first moment after the gap; one that it repeats, at its first occurrence.
    /// So a day may have 23 or 25 hours, and no time lies in two windows or none. An hour is one of the zone's clock, and ends early where that is moved by a part of one.
    /// </remarks>
    /// <exception cref="InvalidOperationException">Not a calendar window.</exception>
    /// <exception cref="TimeZoneNotFoundException">The machine does not know the time zone.</exception>
    public (long Start, long End) Around(long at)
    {
        var zone = TimeZone is null ? TimeZoneInfo.Utc : TimeZoneInfo.FindSystemTimeZoneById(TimeZone);
        if (Kind == WindowKind.Hour)
            return HourAround(at, zone);

        var local = TimeZoneInfo.ConvertTime(DateTimeOffset.FromUnixTimeMilliseconds(at), zone).DateTime;
        var day = Kind switch
        {
            WindowKind.Day => local.Date,
            WindowKind.Week => local.Date.AddDays(-((((int)local.DayOfWeek + 6) % 7) - (ResetDay - 1) + 7) % 7),
            WindowKind.Month => MonthDay(local.Year, local.Month),
            _ => throw new InvalidOperationException($"A {Kind} window has no calendar."),
        };

        // Near a reset, or where the clock was put forward or back, the window is the one before or after that of the plain date.
        day = Step(day, -1);
        while (true)
        {
            var next = Step(day, 1);
            var end = Instant(next, zone);
            if (at < end)
                return (Instant(day, zone), end);
            day = next;
        }
    }

    private DateTime Step(DateTime day, int by) => Kind switch
    {
        WindowKind.Day => day.AddDays(by),
        WindowKind.Week => day.AddDays(7 * by),
        _ => new DateTime(day.Year, day.Month, 1).AddMonths(by) is var month ? MonthDay(month.Year, month.Month) : default,
    };

    private DateTime MonthDay(int year, int month) => new(year, month, Math.Min(ResetDay, DateTime.DaysInMonth(year, month)));

    // Whole hours of the zone: some are half an hour off UTC.
    private static (long Start, long End) HourAround(long at, TimeZoneInfo zone)
    {
        const long Hour = 3_600_000;
        var past = PastTheHour(at);
        var start = at - ((at + past) % Hour);
        var end = start + Hour;
        if (PastTheHour(start) != past)
            start = FirstBetween(start, at, time => PastTheHour(time) == past);
        if (PastTheHour(end - 1) != past)
            end = FirstBetween(at, end - 1, time => PastTheHour(time) != past);
        return (start, end);

        long PastTheHour(long time) => (OffsetAt(time, zone) + (24 * Hour)) % Hour;
    }

    /// <summary>The first moment at which the zone's clock shows the reset hour of this day or something later.</summary>
    /// <remarks>Asked of the way from UTC to the clock only: that back is not sure where a zone skipped a day or changed its standard time.</remarks>
    private long Instant(DateTime day, TimeZoneInfo zone)
    {
        var wanted = new DateTimeOffset(day.AddHours(ResetHour), TimeSpan.Zero).ToUnixTimeMilliseconds();

        // No zone is further ahead than this.
        var from = wanted - (15 * 3_600_000L);
        while (true)
        {
            var offset = OffsetAt(from, zone);
            var reached = wanted - offset;
            if (OffsetAt(reached, zone) == offset)
                return reached;
            from = FirstBetween(from, reached, time => OffsetAt(time, zone) != offset);
            if (from + OffsetAt(from, zone) >= wanted)
                return from;
        }
    }

    private static long OffsetAt(long at, TimeZoneInfo zone) => (long)zone.GetUtcOffset(DateTimeOffset.FromUnixTimeMilliseconds(at)).TotalMilliseconds;

    /// <summary>The first time behind <paramref name="before"/> of which it holds, when it holds of <paramref name="at"/> and the clock is moved once between.</summary>
    private static long FirstBetween(long before, long at, Func<long, bool> holds)
    {
        while (at - before > 1)
        {
            var middle = before + ((at - before) / 2);
            if (holds(middle))
                at = middle;
            else
                before = middle;
        }

        return at;
    }
}
