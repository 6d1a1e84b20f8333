using Dispatch.Host.Configuration;

namespace Dispatch.Host.Tests.Configuration;

public sealed class ConfigReadingTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    public void Dispose() => directory.Dispose();

    [Fact]
    public async Task A_file_that_is_being_written_is_waited_for()
    {
        string file = directory.Write("dispatch.yaml", "server: { port: 1 }\n");
        var rest = new Queue<string>(["limits:\n", "  burst: 5\n", "", "too late\n"]);

        ConfigReading settled = await (await TakeAsync(file)).SettleAsync(file, () => File.AppendAllTextAsync(file, rest.Dequeue()), default);

        Assert.Equal("server: { port: 1 }\nlimits:\n  burst: 5\n"u8, settled.Content.Span);
        Assert.Equal("too late\n", Assert.Single(rest));
    }

    [Fact]
    public async Task A_file_that_is_replaced_is_not_taken_for_gone()
    {
        string file = directory.Write("dispatch.yaml", "# one\n");
        var steps = new Queue<Action>([() => File.Delete(file), () => File.WriteAllText(file, "# two\n"), () => { }]);

        ConfigReading settled = await (await TakeAsync(file)).SettleAsync(file, Step, default);

        Assert.Equal("# two\n"u8, settled.Content.Span);

        Task Step()
        {
            steps.Dequeue()();
            return Task.CompletedTask;
        }
    }

    [Fact]
    public async Task Equal_is_what_holds_the_same_whenever_and_wherever_it_was_written()
    {
        string file = directory.Write("dispatch.yaml", "# same\n");
        ConfigReading before = await TakeAsync(file);

        File.SetLastWriteTimeUtc(file, new DateTime(2030, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        Assert.Equal(before, await TakeAsync(file));
        Assert.Equal(before, await TakeAsync(directory.Write("other.yaml", "# same\n")));

        DateTime written = File.GetLastWriteTimeUtc(file);
        File.WriteAllText(file, "# Same\n");
        File.SetLastWriteTimeUtc(file, written);
        Assert.NotEqual(before, await TakeAsync(file));
    }

    [Fact]
    public async Task What_is_not_there_or_empty_or_no_file_has_nothing_to_load()
    {
        Assert.Equal("is not there", (await TakeAsync(directory.File("none.yaml"))).Problem);
        Assert.Equal("is not there", (await TakeAsync(directory.File("none/none.yaml"))).Problem);
        Assert.Equal("is empty", (await TakeAsync(directory.Write("empty.yaml", ""))).Problem);
        Assert.StartsWith("can't be read: ", (await TakeAsync(directory.Path)).Problem, StringComparison.Ordinal);
        Assert.Null((await TakeAsync(directory.Write("full.yaml", "# full\n"))).Problem);
    }

    [Fact]
    public async Task A_file_that_is_too_large_is_told_by_the_loader()
    {
        string file = directory.Write("dispatch.yaml", new string('#', ConfigFile.Largest + 10));
        ConfigReading reading = await TakeAsync(file);

        var faulty = Assert.IsType<ConfigOutcome.Faulty>(ConfigLoader.Load(new ConfigInputs { File = file, Content = reading.Content, Environment = new Dictionary<string, string>() }));

        Assert.Contains("larger than", Assert.Single(faulty.Faults).Message, StringComparison.Ordinal);
    }

    private static Task<ConfigReading> TakeAsync(string file) => ConfigReading.TakeAsync(file, CancellationToken.None);
}
