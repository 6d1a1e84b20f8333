using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Programs;
using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.CommandLine;

public sealed class HelpTests
{
    [Fact]
    public void These_are_the_commands() => Assert.Equal(
        """
        serve
        submit
        task
        task list
        task show
        task watch
        task cancel
        task retry
        task explain
        task history
        dead-letter
        dead-letter list
        dead-letter redrive
        agent
        agent list
        agent show
        agent drain
        agent resume
        worker
        stats
        top
        events
        events list
        events tail
        events replay
        audit
        audit verify
        audit checkpoint
        token
        token create
        token list
        token revoke
        question
        question list
        question show
        question answer
        question ask
        question withdraw
        responder
        responder list
        responder set
        responder remove
        webhook
        webhook create
        webhook list
        webhook show
        webhook update
        webhook delete
        webhook test
        webhook rotate
        webhook enable
        webhook deliveries
        quota
        quota list
        quota set
        quota show
        quota delete
        quota explain
        quota check
        quota top
        quota history
        quota ledger
        quota report
        node
        node list
        node drain
        node undrain
        namespace
        namespace list
        namespace create
        namespace move
        config
        config show
        config check
        doctor
        demo
        version
        completion
        """,
        string.Join('\n', Commands().Select(Name)));

    [Fact]
    public void Every_command_says_what_it_does_and_has_an_example() => Assert.All(Commands(), command =>
    {
        Assert.False(string.IsNullOrWhiteSpace(command.Description));
        Assert.NotEmpty(Assert.IsType<DispatchCommand>(command).Examples);
    });

    [Fact]
    public void Every_option_and_argument_says_what_it_means() => Assert.All(Commands(), command =>
    {
        Assert.All(command.Options, option => Assert.False(string.IsNullOrWhiteSpace(option.Description), $"{Name(command)} {option.Name}"));
        Assert.All(command.Arguments, argument => Assert.False(string.IsNullOrWhiteSpace(argument.Description), $"{Name(command)} {argument.Name}"));
    });

    [Fact]
    public void Every_example_is_a_command_line_that_is_right() => Assert.All(Commands().Cast<DispatchCommand>().SelectMany(command => command.Examples), example =>
    {
        var words = CommandWords.Split(example).ToList();
        var start = words.FindIndex(word => word is "dispatch" or "$(dispatch" or "<(dispatch" or "DISPATCH_TOKEN=$(dispatch");
        var own = words.Skip(start + 1).TakeWhile(word => word is not ("|" or ">" or "#")).Select(word => word.TrimEnd(')')).ToArray();
        Assert.True(start >= 0, example);
        var parsed = DispatchCommandLine.Build(own).Parse(own, new ParserConfiguration { ResponseFileTokenReplacer = null });
        Assert.True(parsed.Errors.Count == 0, $"{example}: {string.Join("; ", parsed.Errors.Select(error => error.Message))}");
    });

    [Theory]
    [InlineData("--help", "Exit codes:", "dispatch demo")]
    [InlineData("submit -h", "Examples:", "--key-prefix")]
    [InlineData("task --help", "Examples:", "explain")]
    [InlineData("worker --help", "DISPATCH_TASK_ID", "Exit 0 completes")]
    public async Task Help_shows_examples(string line, params string[] shown)
    {
        var outcome = await DispatchProcess.RunAsync(line.Split(' '));
        Assert.Equal(0, outcome.ExitCode);
        Assert.All(shown, text => Assert.Contains(text, outcome.Output, StringComparison.Ordinal));
        Assert.Equal("", outcome.Errors);
    }

    [Fact]
    public async Task Without_a_command_there_is_help()
    {
        var outcome = await DispatchProcess.RunAsync([]);
        Assert.Equal(0, outcome.ExitCode);
        Assert.Contains("Commands:", outcome.Output, StringComparison.Ordinal);
    }

    private static List<Command> Commands() => [.. DispatchCommandLine.Build().Subcommands.SelectMany(WithSubcommands)];

    private static IEnumerable<Command> WithSubcommands(Command command) =>
        command.Hidden ? [] : command.Subcommands.SelectMany(WithSubcommands).Prepend(command);

    private static string Name(Command command) => string.Join(' ', DispatchCommandLine.Path(command).Skip(1));
}
