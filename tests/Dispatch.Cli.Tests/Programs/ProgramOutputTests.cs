using System.Text;
using System.Text.Json;
using Dispatch.Cli.Programs;

namespace Dispatch.Cli.Tests.Programs;

public sealed class ProgramOutputTests
{
    private const int Limit = 1000;

    [Theory]
    [InlineData("{\"a\":1}\n", "{\"a\":1}")]
    [InlineData("[1,2]", "{\"output\":[1,2]}")]
    [InlineData("12\n", "{\"output\":12}")]
    [InlineData("\"text\"", "{\"output\":\"text\"}")]
    [InlineData("plain text\n", "{\"output\":\"plain text\"}")]
    [InlineData("two\nlines\r\n", "{\"output\":\"two\\nlines\"}")]
    [InlineData("{\"a\":1} trailing", "{\"output\":\"{\\u0022a\\u0022:1} trailing\"}")]
    [InlineData(" \n", "{\"output\":\" \"}")]
    public async Task Output_becomes_an_object(string written, string result) => Assert.Equal(result, (await ReadAsync(written))!.Value.GetRawText());

    [Fact]
    public async Task No_output_is_no_result() => Assert.Null(await ReadAsync(""));

    [Fact]
    public async Task Json_that_is_nested_too_deeply_for_the_broker_is_text()
    {
        var deep = new string('[', 30) + new string(']', 30);
        Assert.Equal(deep, (await ReadAsync(deep))!.Value.GetProperty("output").GetString());
    }

    [Theory]
    [InlineData('x', 1)]
    [InlineData('\u0001', 6)]
    [InlineData('漢', 6)]
    [InlineData('<', 6)]
    public async Task What_is_kept_fits_however_much_it_grows_when_escaped(char c, int width)
    {
        var result = (await ReadAsync(new string(c, 5_000)))!.Value;
        var output = result.GetProperty("output").GetString()!;
        Assert.True(result.GetProperty("truncated").GetBoolean());
        Assert.All(output, kept => Assert.Equal(c, kept));
        Assert.InRange(JsonSerializer.SerializeToUtf8Bytes(result).Length, Limit - (8 * width) - 8, Limit);
    }

    [Fact]
    public async Task An_object_that_grows_beyond_the_limit_when_escaped_is_cut_as_text()
    {
        var result = (await ReadAsync("{\"a\":\"" + new string('<', 600) + "\"}"))!.Value;
        Assert.True(result.GetProperty("truncated").GetBoolean());
        Assert.StartsWith("{\"a\":\"<<<", result.GetProperty("output").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_character_is_never_cut_in_two()
    {
        var result = (await ReadAsync(string.Concat(Enumerable.Repeat("🚀", 2_000))))!.Value;
        var output = result.GetProperty("output").GetString()!.TrimEnd('\ufffd');
        Assert.Equal(0, output.Length % 2);
        Assert.False(char.IsHighSurrogate(output[^1]));
    }

    private static async Task<JsonElement?> ReadAsync(string written)
    {
        var output = new ProgramOutput(Limit);
        await output.ReadAsync(new MemoryStream(Encoding.UTF8.GetBytes(written)), CancellationToken.None);
        return output.ToResult();
    }
}
