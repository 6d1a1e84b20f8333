using Dispatch.Allowances;

namespace Dispatch.Tests.Allowances;

/// <summary>Calendar windows against a plain search along the clock on the wall, quarter of an hour by quarter of an hour.</summary>
public sealed class LimitWindowTests
{
    private const long Quarter = 900_000;
    private const long Hour = 3_600_000;

    private static readonly long From = At("2005-01-01T00:00:00Z");
    private static readonly long To = At("2036-01-01T00:00:00Z");

    [Theory]
    [InlineData("UTC")]
    [InlineData("Europe/Berlin")]
    [InlineData("America/New_York")]
    [InlineData("Australia/Lord_Howe")]
    [InlineData("Asia/Kathmandu")]
    [InlineData("Pacific/Apia")]
    [InlineData("America/Sao_Paulo")]
    [InlineData("Africa/Casablanca")]
    public void Days_weeks_and_months_begin_when_the_clock_on_the_wall_first_reaches_the_reset(string zone)
    {
        var random = new Random(7);
        var info = TimeZoneInfo.FindSystemTimeZoneById(zone);
        var transitions = TransitionsOf(info);
        for (var i = 0; i < 800; i++)
        {
            // Half of them close to where the clock was put forward or back.
            var at = i % 2 == 0 || transitions.Count == 0
                ? random.NextInt64(From, To)
                : transitions[random.Next(transitions.Count)] + random.NextInt64(-30 * Hour, 30 * Hour);
            var window = random.Next(8) switch
            {
                0 => new LimitWindow(WindowKind.Month, zone, random.Next(24), random.Next(3) == 0 ? 31 : random.Next(1, 32)),
                1 or 2 => new LimitWindow(WindowKind.Week, zone, random.Next(24), random.Next(1, 8)),
                _ => new LimitWindow(WindowKind.Day, zone, random.Next(2) == 0 ? random.Next(4) : random.Next(24)),
            };
            CheckTiles(window, at);
            Assert.True(window.Around(at) == Search(window, info, at), $"{window} at {at}: {window.Around(at)}, by search {Search(window, info, at)}");
        }
    }

    [Theory]
    [InlineData("UTC")]
    [InlineData("Europe/Berlin")]
    [InlineData("Australia/Lord_Howe")]
    [InlineData("Asia/Kathmandu")]
    [InlineData("Pacific/Apia")]
    public void Hours_tile_also_where_the_clock_is_put_forward_by_half_of_one(string zone)
    {
        var random = new Random(8);
        var info = TimeZoneInfo.FindSystemTimeZoneById(zone);
        var transitions = TransitionsOf(info);
        var window = new LimitWindow(WindowKind.Hour, zone);
        for (var i = 0; i < 3_000; i++)
        {
            var at = i % 2 == 0 || transitions.Count == 0 ? random.NextInt64(From, To) : transitions[random.Next(transitions.Count)] + random.NextInt64(-3 * Hour, 3 * Hour);
            CheckTiles(window, at);
            var (start, end) = window.Around(at);
            Assert.InRange(end - start, 1, Hour);
            Assert.True(IsWholeHour(start) || transitions.Contains(start), $"the hour of {at} begins at {start}");
            Assert.True(IsWholeHour(end) || transitions.Contains(end), $"the hour of {at} ends at {end}");
        }

        bool IsWholeHour(long at) => (at + (long)info.GetUtcOffset(DateTimeOffset.FromUnixTimeMilliseconds(at)).TotalMilliseconds) % Hour == 0;
    }

    [Theory]
    // The night of 29 March 2026 has no 02:00 in Berlin, that of 25 October 2026 has two.
    [InlineData("Europe/Berlin", 2, "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z")]
    [InlineData("Europe/Berlin", 2, "2026-10-25T12:00:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z")]
    [InlineData("Europe/Berlin", 0, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")]
    [InlineData("America/New_York", 2, "2026-03-08T12:00:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:00:00Z")]
    [InlineData("America/New_York", 1, "2026-11-01T12:00:00Z", "2026-11-01T05:00:00Z", "2026-11-02T06:00:00Z")]
    [InlineData("Australia/Lord_Howe", 2, "2026-10-03T20:00:00Z", "2026-10-03T15:30:00Z", "2026-10-04T15:00:00Z")]
    [InlineData("Asia/Kathmandu", 0, "2026-05-05T12:00:00Z", "2026-05-04T18:15:00Z", "2026-05-05T18:15:00Z")]
    // There was no 30 December 2011 in Samoa.
    [InlineData("Pacific/Apia", 0, "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z")]
    [InlineData("Pacific/Apia", 0, "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z")]
    public void A_day_begins_at_its_reset_hour_or_at_the_first_moment_after_it(string zone, int hour, string at, string start, string end) =>
        Assert.Equal((At(start), At(end)), new LimitWindow(WindowKind.Day, zone, hour).Around(At(at)));

    [Theory]
    [InlineData(31, "2026-02-10T00:00:00Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z")]
    [InlineData(31, "2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z")]
    [InlineData(29, "2027-02-28T23:59:59Z", "2027-02-28T00:00:00Z", "2027-03-29T00:00:00Z")]
    [InlineData(30, "2028-03-01T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-30T00:00:00Z")]
    [InlineData(31, "2026-04-30T00:00:00Z", "2026-04-30T00:00:00Z", "2026-05-31T00:00:00Z")]
    [InlineData(1, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")]
    public void A_month_without_its_reset_day_begins_on_its_last(int day, string at, string start, string end) =>
        Assert.Equal((At(start), At(end)), new LimitWindow(WindowKind.Month, ResetDay: day).Around(At(at)));

    private static void CheckTiles(LimitWindow window, long at)
    {
        var (start, end) = window.Around(at);
        Assert.True(start <= at && at < end, $"{window}: {at} is not in {start}..{end}");
        Assert.True(window.Around(start) == (start, end), $"{window}: {start} begins {start}..{end} and lies in {window.Around(start)}");
        Assert.True(window.Around(end - 1) == (start, end), $"{window}: {end - 1} ends {start}..{end} and lies in {window.Around(end - 1)}");
        Assert.True(window.Around(end).Start == end, $"{window}: {start}..{end} is followed by {window.Around(end)}");
        Assert.True(window.Around(start - 1).End == start, $"{window}: {start}..{end} follows {window.Around(start - 1)}");
    }

    /// <summary>A period has begun once the clock on the wall has shown its first moment or a later one, and does not begin again when the clock is put back.</summary>
    private static (long Start, long End) Search(LimitWindow window, TimeZoneInfo zone, long at)
    {
        var here = at - (at % Quarter);
        var period = Reached(here);
        var start = here;
        while (Reached(start - Quarter) == period)
            start -= Quarter;
        var end = here + Quarter;
        while (Reached(end) == period)
            end += Quarter;
        return (start, end);

        long Reached(long time)
        {
            var reached = long.MinValue;
            for (var back = 0; back <= 12; back++)
                reached = Math.Max(reached, PeriodOf(window, TimeZoneInfo.ConvertTime(DateTimeOffset.FromUnixTimeMilliseconds(time - (back * Quarter)), zone).DateTime));
            return reached;
        }
    }

    private static long PeriodOf(LimitWindow window, DateTime local)
    {
        var shifted = local.AddHours(-window.ResetHour);
        var days = DateOnly.FromDateTime(shifted).DayNumber;
        return window.Kind switch
        {
            WindowKind.Day => days,
            // Day 0 was a Monday.
            WindowKind.Week => (days - (window.ResetDay - 1)) / 7,
            _ => (shifted.Year * 12L) + shifted.Month - (shifted.Day < Math.Min(window.ResetDay, DateTime.DaysInMonth(shifted.Year, shifted.Month)) ? 1 : 0),
        };
    }

    private static List<long> TransitionsOf(TimeZoneInfo zone)
    {
        var transitions = new List<long>();
        for (var at = From; at < To; at += Quarter)
        {
            if (zone.GetUtcOffset(DateTimeOffset.FromUnixTimeMilliseconds(at)) != zone.GetUtcOffset(DateTimeOffset.FromUnixTimeMilliseconds(at - Quarter)))
                transitions.Add(at);
        }

        return transitions;
    }

    private static long At(string time) => DateTimeOffset.Parse(time, System.Globalization.CultureInfo.InvariantCulture).ToUnixTimeMilliseconds();
}
