using System.Text;

namespace Dispatch.Cli.Terminal;

/// <summary>
/// Makes other people's text harmless to print: a title must not move the cursor, recolour the screen, set the
/// window's name or reorder what stands around it.
/// </summary>
internal static class TerminalText
{
    /// <summary>The text on one line, with every control and direction character shown as its code.</summary>
    public static string Line(string? text) => Clean(text, keepLines: false);

    /// <summary>The text with its line breaks, with every other control and direction character shown as its code.</summary>
    public static string Lines(string? text) => Clean(text, keepLines: true);

    /// <summary>The text on one line as <see cref="Line"/> makes it, cut when it is longer.</summary>
    /// <param name="text">Anybody's text.</param>
    /// <param name="most">Characters there may be, the dots at the end of a cut text included.</param>
    public static string Short(string? text, int most) =>
        Line(text) is var line && line.Length > most ? line[..(most - 3)] + "..." : line;

    private static string Clean(string? text, bool keepLines)
    {
        if (text is null)
            return "";
        if (!text.Any(IsHarmful))
            return text;

        var clean = new StringBuilder(text.Length + 16);
        foreach (var c in text)
        {
            if (c == '\n' && keepLines)
                clean.Append(c);
            else if (c is '\n' or '\t')
                clean.Append(keepLines ? "    " : " ");
            else if (c == '\r')
                clean.Append("");
            else if (IsHarmful(c))
                clean.Append(c < 0x100 ? $"\\x{(int)c:x2}" : $"\\u{(int)c:x4}");
            else
                clean.Append(c);
        }

        return clean.ToString();
    }

    private static bool IsHarmful(char c) =>
        char.IsControl(c)
        || c is '\u2028' or '\u2029'
        // Marks and overrides of the writing direction, and invisible joiners that make two texts look the same.
        || c is '\u061c' or '\u200b' or '\u200e' or '\u200f' or (>= '\u202a' and <= '\u202e') or (>= '\u2060' and <= '\u2069') or '\ufeff';
}
