namespace Dispatch.Chaos.Tests;

public sealed class CrashOptionsTests
{
    [Fact]
    public void What_is_given_counts_and_the_rest_has_defaults()
    {
        var options = CrashOptions.Parse(["crash", "--kills", "200", "--clients", "2", "--json", "v.json"], seed: 5);

        Assert.Equal(
            new CrashOptions { Seed = 5, Kills = 200, Clients = 2, Workers = 4, Json = "v.json", Dispatch = "artifacts/dispatch/dispatch" }, options);
    }

    [Fact]
    public void A_proof_is_short_unless_told_otherwise()
    {
        Assert.Equal(5, CrashOptions.Parse(["crash", "--prove"], seed: 1).Kills);
        Assert.Equal(9, CrashOptions.Parse(["crash", "--kills", "9", "--prove"], seed: 1).Kills);
    }

    [Fact]
    public void Chaos_is_the_other_test_and_counts_faults()
    {
        Assert.Equal(new CrashOptions { Seed = 5, IsChaos = true, Faults = 12, Kills = 20 }, CrashOptions.Parse(["chaos"], seed: 5));
        Assert.Equal(30, CrashOptions.Parse(["chaos", "--faults", "30"], seed: 5).Faults);
        Assert.Equal(2, CrashOptions.Parse(["chaos", "--prove"], seed: 5).Faults);
    }

    [Theory]
    [InlineData("The first argument")]
    [InlineData("The first argument", "storm")]
    [InlineData("--kills takes a number", "crash", "--kills", "many")]
    [InlineData("--kills takes a number", "crash", "--kills", "0")]
    [InlineData("--workers takes a number from 2", "crash", "--workers", "1")]
    [InlineData("--seed needs a value", "crash", "--seed")]
    [InlineData("--faults takes a number from 1", "chaos", "--faults", "0")]
    [InlineData("Unknown option --kill", "crash", "--kill", "3")]
    public void A_bad_argument_is_named(string message, params string[] arguments) =>
        Assert.StartsWith(message, Assert.Throws<FormatException>(() => CrashOptions.Parse(arguments, seed: 1)).Message);
}
