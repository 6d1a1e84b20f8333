using Dispatch.Cli.Programs;

namespace Dispatch.Cli.Tests.Programs;

public sealed class CommandWordsTests
{
    [Theory]
    [InlineData("wc -l file", "wc", "-l", "file")]
    [InlineData("  a\t b\n c  ", "a", "b", "c")]
    [InlineData("a 'b c' d", "a", "b c", "d")]
    [InlineData("a \"b c\" d", "a", "b c", "d")]
    [InlineData("a b\\ c", "a", "b c")]
    [InlineData("a '' \"\"", "a", "", "")]
    [InlineData("a x'y'\"z\"w", "a", "xyzw")]
    [InlineData("a '\\n\"$x'", "a", "\\n\"$x")]
    [InlineData("a \"\\\"\\\\\\$\\`\\n\"", "a", "\"\\$`\\n")]
    [InlineData("a ; rm -rf / && b | c > d $HOME * # e", "a", ";", "rm", "-rf", "/", "&&", "b", "|", "c", ">", "d", "$HOME", "*", "#", "e")]
    [InlineData("a b\\\nc", "a", "bc")]
    public void A_line_is_split_by_the_quoting_rules_of_the_shell_and_nothing_else(string line, params string[] words) =>
        Assert.Equal(words, CommandWords.Split(line));

    [Theory]
    [InlineData("a 'b")]
    [InlineData("a \"b")]
    [InlineData("a \\")]
    public void What_is_not_closed_is_refused(string line) => Assert.Throws<FormatException>(() => CommandWords.Split(line));

    [Fact]
    public async Task Words_are_the_ones_a_real_shell_sees()
    {
        const string line = """one 'two  three' "four \"five\" \$six" se\ ven ei'g'h"t" '' "ni\ne" """;
        var shell = await Support.DispatchProcess.RunAsync(["-c", $"printf '%s\\0' {line}"], program: "/bin/sh");

        Assert.Equal(shell.Output.Split('\0')[..^1], CommandWords.Split(line));
    }
}
