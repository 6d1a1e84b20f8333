using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Dispatch.Cli.CommandLine;

/// <summary>Options that take a whole number within a range.</summary>
/// <remarks>Read here and not by the library, which speaks of its own types when it can not read a number.</remarks>
internal static class Numbers
{
    /// <summary>An option that may be left out.</summary>
    /// <param name="name">As it is typed.</param>
    /// <param name="description">For the help.</param>
    /// <param name="least">The smallest it may be.</param>
    /// <param name="most">The largest it may be.</param>
    /// <param name="because">More about the range, behind a semicolon; null: nothing.</param>
    public static Option<int?> Option(string name, string description, int least, int most, string? because = null) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result => Read(result, name, least, most, because),
    };

    /// <summary>An option with a value of its own when it is left out.</summary>
    public static Option<int> Option(string name, string description, int least, int most, int standard, string? because = null) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => standard,
        CustomParser = result => Read(result, name, least, most, because) ?? standard,
    };

    private static int? Read(ArgumentResult result, string name, int least, int most, string? because)
    {
        var text = result.Tokens[0].Value;
        if (int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
            return number;
        var range = most == int.MaxValue ? $"a whole number, at least {least}" : $"a whole number from {least} to {most}";
        result.AddError($"{name}: '{text}' is none of those allowed. Give {range}{(because is null ? "" : "; " + because)}");
        return null;
    }
}
