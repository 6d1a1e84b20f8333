namespace Dispatch.Bench.Tests;

public sealed class BenchArgumentsTests
{
    [Fact]
    public void Without_a_row_every_row_runs()
    {
        var arguments = BenchArguments.Parse([]);

        Assert.Equal(["bare", "submit", "bulk", "life", "drain", "latency", "memory", "start", "events", "in-process", "allowances", "copy", "idle"], arguments.Rows);
        Assert.Equal(TimeSpan.FromSeconds(10), arguments.Time);
        Assert.EndsWith("artifacts/dispatch/dispatch", arguments.Broker, StringComparison.Ordinal);
    }

    [Fact]
    public void Named_rows_run_in_the_order_of_the_table()
    {
        var arguments = BenchArguments.Parse(["latency", "submit", "--quick", "--seconds", "7", "--dispatch", "/opt/dispatch"]);

        Assert.Equal(["submit", "latency"], arguments.Rows);
        Assert.Equal(TimeSpan.FromSeconds(7), arguments.Time);
        Assert.Equal("/opt/dispatch", arguments.Broker);
        Assert.True(arguments.Quick);
    }

    [Theory]
    [InlineData("submits")]
    [InlineData("--fast")]
    [InlineData("--seconds")]
    [InlineData("--seconds", "0")]
    [InlineData("--seconds", "ten")]
    public void A_word_that_is_not_understood_is_named(params string[] words)
    {
        var wrong = Assert.Throws<FormatException>(() => BenchArguments.Parse(words));

        Assert.Contains(words[0], wrong.Message, StringComparison.Ordinal);
    }
}
