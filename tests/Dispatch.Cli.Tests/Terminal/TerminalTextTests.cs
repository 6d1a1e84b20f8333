using Dispatch.Cli.Terminal;

namespace Dispatch.Cli.Tests.Terminal;

public sealed class TerminalTextTests
{
    [Theory]
    [InlineData("plain ünï 漢字 🚀", "plain ünï 漢字 🚀")]
    [InlineData("\u001b[31mred", "\\x1b[31mred")]
    [InlineData("bell\a nul\0 del\u007f", "bell\\x07 nul\\x00 del\\x7f")]
    [InlineData("csi\u009b31m", "csi\\x9b31m")]
    [InlineData("a\r\nb\tc", "a b c")]
    [InlineData("right\u202eleft\u2066x\ufeff", "right\\u202eleft\\u2066x\\ufeff")]
    [InlineData("sep\u2028x", "sep\\u2028x")]
    [InlineData(null, "")]
    public void A_line_is_made_harmless(string? text, string harmless) => Assert.Equal(harmless, TerminalText.Line(text));

    [Fact]
    public void Several_lines_keep_their_breaks_only() => Assert.Equal("a\nb    c\\x1b", TerminalText.Lines("a\r\nb\tc\u001b"));
}
