using System.Buffers;
using System.Buffers.Text;
using System.Text;

namespace Dispatch.Host.Telemetry;

/// <summary>
/// One log line while it is made: UTF-8 in a buffer that its thread uses again. Every text goes in escaped as in JSON, also in the
/// format for persons: no content can end the line or start one of its own.
/// </summary>
internal sealed class LogLine
{
    private const int MostBytes = 64 * 1024;

    /// <summary>Longest text in characters; a longer one is cut.</summary>
    private const int LongestText = 16 * 1024;

    private static readonly SearchValues<char> Plain =
        SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(c => (char)c).Where(c => c is not ('"' or '\\'))]);

    [ThreadStatic]
    private static LogLine? ownedByThread;

    private byte[] bytes = new byte[1024];
    private int length;

    // The second that was written last and its text: 25,000 lines a second share it.
    private long second = -1;
    private readonly byte[] secondText = new byte["2026-11-20T08:00:00.".Length];

    public ReadOnlySpan<byte> Bytes => bytes.AsSpan(0, length);

    /// <summary>Takes the thread's line, empty. A line begun while another is being made (by a value that logs as it is formatted) gets a buffer of its own.</summary>
    public static LogLine Begin()
    {
        LogLine line = ownedByThread ?? new LogLine();
        ownedByThread = null;
        line.length = 0;
        return line;
    }

    /// <summary>Gives it back.</summary>
    public void End() => ownedByThread = this;

    /// <summary>Adds bytes as they are.</summary>
    public void Raw(ReadOnlySpan<byte> utf8)
    {
        utf8.CopyTo(Room(utf8.Length));
        length += utf8.Length;
    }

    /// <summary>Adds a number.</summary>
    public void Number(long number)
    {
        Utf8Formatter.TryFormat(number, Room(20), out int added);
        length += added;
    }

    /// <summary>Adds what formats itself.</summary>
    public void Number<T>(T number)
        where T : IUtf8SpanFormattable
    {
        if (number.TryFormat(Room(64), out int added, default, System.Globalization.CultureInfo.InvariantCulture))
            length += added;
    }

    /// <summary>Adds "2026-11-20T08:00:00.000Z".</summary>
    public void Time(DateTimeOffset utc)
    {
        long now = utc.UtcTicks;
        if (now / TimeSpan.TicksPerSecond != second)
        {
            second = now / TimeSpan.TicksPerSecond;
            utc.UtcDateTime.TryFormat(secondText, out _, "yyyy-MM-dd'T'HH:mm:ss'.'", System.Globalization.CultureInfo.InvariantCulture);
        }

        Raw(secondText);
        int ms = (int)(now / TimeSpan.TicksPerMillisecond % 1000);
        Span<byte> room = Room(4);
        room[0] = (byte)('0' + (ms / 100));
        room[1] = (byte)('0' + (ms / 10 % 10));
        room[2] = (byte)('0' + (ms % 10));
        room[3] = (byte)'Z';
        length += 4;
    }

    /// <summary>Adds a text without quotes around it, escaped.</summary>
    public void Text(ReadOnlySpan<char> text)
    {
        bool isCut = text.Length > LongestText || length > MostBytes;
        if (isCut)
            text = text[..Math.Min(text.Length, length > MostBytes ? 0 : LongestText)];

        if (!text.ContainsAnyExcept(Plain))
        {
            Encoding.ASCII.GetBytes(text, Room(text.Length));
            length += text.Length;
        }
        else
        {
            foreach (Rune rune in text.EnumerateRunes())
                Escaped(rune);
        }

        if (isCut)
            Raw("..."u8);
    }

    private void Escaped(Rune rune)
    {
        switch (rune.Value)
        {
            case '"':
                Raw("\\\""u8);
                break;
            case '\\':
                Raw("\\\\"u8);
                break;
            case '\n':
                Raw("\\n"u8);
                break;
            case '\r':
                Raw("\\r"u8);
                break;
            case '\t':
                Raw("\\t"u8);
                break;
            default:
                // Control and format characters, C1 and the bidirectional ones included, and the two Unicode line ends: terminals act on them.
                if (IsVisible(rune))
                {
                    length += rune.EncodeToUtf8(Room(4));
                }
                else
                {
                    Span<char> units = stackalloc char[2];
                    foreach (char unit in units[..rune.EncodeToUtf16(units)])
                    {
                        Raw("\\u"u8);
                        Utf8Formatter.TryFormat((ushort)unit, Room(4), out int added, new StandardFormat('x', 4));
                        length += added;
                    }
                }

                break;
        }
    }

    private static bool IsVisible(Rune rune) => rune.IsAscii
        ? rune.Value is >= ' ' and <= '~'
        : Rune.GetUnicodeCategory(rune) is not (System.Globalization.UnicodeCategory.Control or System.Globalization.UnicodeCategory.Format
            or System.Globalization.UnicodeCategory.LineSeparator or System.Globalization.UnicodeCategory.ParagraphSeparator
            or System.Globalization.UnicodeCategory.PrivateUse or System.Globalization.UnicodeCategory.OtherNotAssigned);

    private Span<byte> Room(int needed)
    {
        if (length + needed > bytes.Length)
            Array.Resize(ref bytes, Math.Max(bytes.Length * 2, length + needed));
        return bytes.AsSpan(length);
    }
}
