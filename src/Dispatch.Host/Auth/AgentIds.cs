using System.Buffers;
using System.Globalization;
using System.Text;

namespace Dispatch.Host.Auth;

/// <summary>Which texts can be an agent's id.</summary>
public static class AgentIds
{
    /// <summary>Longest id in characters.</summary>
    public const int MaxLength = 256;

    /// <summary>What is told of a text that can't be one.</summary>
    internal static readonly string Fault = $"must be one name of 1 to {MaxLength} printable characters";

    private static readonly SearchValues<char> PlainAscii = SearchValues.Create([.. Enumerable.Range('!', '~' - '!' + 1).Select(c => (char)c)]);

    /// <summary>
    /// Whether the text is 1 to 256 printable characters: none that is invisible, reorders what is shown, breaks a line or stands
    /// for nothing, so that two ids that look the same are the same; inner blanks are fine.
    /// </summary>
    public static bool IsValid(ReadOnlySpan<char> id)
    {
        if (id.IsEmpty || id.Length > MaxLength)
            return false;
        if (!id.ContainsAnyExcept(PlainAscii))
            return true;
        if (id[0] == ' ' || id[^1] == ' ')
            return false;

        while (!id.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(id, out Rune rune, out int length) != OperationStatus.Done || !IsPrintable(rune))
                return false;
            id = id[length..];
        }

        return true;
    }

    private static bool IsPrintable(Rune rune) => rune.Value == ' ' || Rune.GetUnicodeCategory(rune) is not
        (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse
        or UnicodeCategory.OtherNotAssigned or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.SpaceSeparator)
        // Kestrel puts it in place of bytes that are not UTF-8.
        && rune != Rune.ReplacementChar;
}
