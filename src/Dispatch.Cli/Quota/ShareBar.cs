using System.Globalization;
using Dispatch.Client;
using Spectre.Console;

namespace Dispatch.Cli.Quota;

/// <summary>A bar of what is used, reserved and left of an amount. Told apart without colour too.</summary>
/// <param name="Used">Not below 0; may be more than the amount.</param>
/// <param name="Reserved">The same.</param>
/// <param name="Amount">0: all of it is used.</param>
/// <param name="State">Of a standing, for the colour.</param>
internal sealed record ShareBar(long Used, long Reserved, long Amount, string State)
{
    public const int Least = 8;
    public const int Enough = 20;
    public const int Most = 30;

    /// <summary>Columns in front of a bar and behind it.</summary>
    public const int Around = 5;

    /// <summary>Null for limits of which nothing is used up or held.</summary>
    public static ShareBar? Of(LimitStanding standing) => standing.Limit switch
    {
        { Amount: { } amount, Unit: not (LimitUnit.JobMs or LimitUnit.CooldownMs or LimitUnit.Models) } => new ShareBar(standing.Used, standing.Reserved, amount, standing.State),
        _ => null,
    };

    /// <summary>How much of it is used; of what is only held, how much is held.</summary>
    public static string Percent(LimitStanding standing)
    {
        if (Of(standing) is not { } bar)
            return "";
        var taken = standing.Limit.Unit == LimitUnit.ConcurrentJobs ? bar.Reserved : bar.Used;
        return bar.Amount == 0 ? "-" : string.Create(CultureInfo.InvariantCulture, $"{(Int128)taken * 100 / bar.Amount} %");
    }

    /// <summary>Cells for used, reserved and left: together the width. What is not nothing has a cell, and nothing is full that is not.</summary>
    public (int Used, int Reserved, int Left) Cells(int width)
    {
        if (Amount == 0 || Used >= Amount)
            return (width, 0, 0);
        var used = Share(Used);
        var taken = (Int128)Used + Reserved >= Amount ? width : Math.Min(width - 1, Math.Max(Share(Used) + (Reserved > 0 ? 1 : 0), Share((Int128)Used + Reserved)));
        return (Math.Min(used, taken), Math.Max(0, taken - used), width - taken);

        int Share(Int128 part) => part == 0 ? 0 : (int)Int128.Clamp(part * width / Amount, 1, width - 1);
    }

    /// <summary>Draws it at the end of a line, or on a line of its own.</summary>
    /// <param name="unicode">False where only plain letters can be shown.</param>
    public Paragraph Draw(int width, bool unicode, Paragraph? line = null)
    {
        var (used, reserved, left) = Cells(width);
        var colour = State switch
        {
            "exceeded" => Color.Red,
            "warning" => Color.Yellow,
            _ => Color.Green,
        };
        return (line ?? new Paragraph())
            .Append(new string(unicode ? '█' : '#', used), new Style(colour))
            .Append(new string(unicode ? '▒' : '+', reserved), new Style(Color.Blue))
            .Append(new string(unicode ? '░' : '.', left), new Style(Color.Grey));
    }
}
