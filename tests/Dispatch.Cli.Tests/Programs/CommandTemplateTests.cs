using System.Text.Json;
using Dispatch.Cli.Programs;

namespace Dispatch.Cli.Tests.Programs;

public sealed class CommandTemplateTests
{
    private const string Task = """
        {"id":"t-1","title":"a {context.path} title","attempt":2,
         "context":{"path":"in file.txt","n":7,"yes":true,"deep":{"er":[{"x":"found"}]},"none":null,"list":[1,"b"],
                    "nul":"a\u0000b","broken":"\ud800","evil":"; rm -rf ~ \"'`$(id)\n-x"}}
        """;

    [Theory]
    [InlineData("p {context.path}", "in file.txt")]
    [InlineData("p {id} {attempt}", "t-1", "2")]
    [InlineData("p --file={context.path}:{context.n}", "--file=in file.txt:7")]
    [InlineData("p {context.yes} {context.deep.er.0.x}", "true", "found")]
    [InlineData("p {context.list}", "[1,\"b\"]")]
    [InlineData("p '{context.path}' \"{id}\"", "in file.txt", "t-1")]
    [InlineData("p {context.evil}", "; rm -rf ~ \"'`$(id)\n-x")]
    public void Values_fill_their_places_and_stay_single_arguments(string line, params string[] arguments) =>
        Assert.Equal(arguments, Fill(line));

    [Fact]
    public void A_value_is_not_looked_at_again() => Assert.Equal(["a {context.path} title"], Fill("p {title}"));

    [Theory]
    [InlineData("awk '{ print $1 }' {context.path}", "{ print $1 }", "in file.txt")]
    [InlineData("p {} {unknown} {contextpath} {context.} ${id", "{}", "{unknown}", "{contextpath}", "{context.}", "${id")]
    public void Braces_around_anything_else_are_left_alone(string line, params string[] arguments) => Assert.Equal(arguments, Fill(line));

    [Theory]
    [InlineData("{context.missing}", "no such value")]
    [InlineData("{context.none}", "no such value")]
    [InlineData("{context.path.deeper}", "no such value")]
    [InlineData("{context.list.9}", "no such value")]
    [InlineData("{context.nul}", "NUL")]
    [InlineData("{context.broken}", "not valid text")]
    public void A_task_that_lacks_a_value_can_not_be_filled_in(string place, string because)
    {
        var outcome = Assert.IsType<CommandTemplate.Filling.Impossible>(CommandTemplate.Parse("p " + place).Fill(JsonElement.Parse(Task)));
        Assert.Contains(because, outcome.Message, StringComparison.Ordinal);
        Assert.Contains(place, outcome.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("   ")]
    [InlineData("''")]
    [InlineData("{context.program} x")]
    [InlineData("/opt/{id}/run")]
    public void The_program_itself_is_the_owners_choice(string line) => Assert.Throws<FormatException>(() => CommandTemplate.Parse(line));

    [Theory]
    [InlineData("sh -c 'wc -l {context.path}'")]
    [InlineData("/bin/bash -lc \"echo {title}\"")]
    public void A_value_inside_a_shells_script_is_refused(string line) =>
        Assert.Contains("would be run", Assert.Throws<FormatException>(() => CommandTemplate.Parse(line)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_value_handed_over_to_a_shells_script_is_fine() =>
        Assert.Equal(["-c", "wc -l \"$1\"", "_", "in file.txt"], Fill("sh -c 'wc -l \"$1\"' _ {context.path}"));

    private static IReadOnlyList<string> Fill(string line) =>
        Assert.IsType<CommandTemplate.Filling.Done>(CommandTemplate.Parse(line).Fill(JsonElement.Parse(Task))).Arguments;
}
