using System.Text;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// Text as PostgreSQL takes it. It refuses the character U+0000, which a title may well hold: that is written as U+001A and <c>0</c>, and U+001A
/// itself as U+001A and <c>1</c>. Texts that are JSON never hold either.
/// </summary>
internal static class PostgresText
{
    private const char Mark = '\u001A';

    internal static string Encode(string text) => text.AsSpan().IndexOfAny('\0', Mark) < 0
        ? text
        : text.Replace("\u001A", "\u001A1", StringComparison.Ordinal).Replace("\0", "\u001A0", StringComparison.Ordinal);

    internal static bool IsEncoded(ReadOnlySpan<byte> utf8) => utf8.Contains((byte)Mark);

    internal static string Decode(string text) => !text.Contains(Mark, StringComparison.Ordinal)
        ? text
        : text.Replace("\u001A0", "\0", StringComparison.Ordinal).Replace("\u001A1", "\u001A", StringComparison.Ordinal);

    internal static byte[] Decode(byte[] utf8) => IsEncoded(utf8) ? Encoding.UTF8.GetBytes(Decode(Encoding.UTF8.GetString(utf8))) : utf8;
}
