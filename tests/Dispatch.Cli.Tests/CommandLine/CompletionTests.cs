using Dispatch.Cli.Tests.Support;

namespace Dispatch.Cli.Tests.CommandLine;

public sealed class CompletionTests
{
    [Theory]
    [InlineData("dispatch ta", "task")]
    [InlineData("dispatch task sh", "show")]
    [InlineData("dispatch task list --st", "--status")]
    [InlineData("dispatch task list --status pen", "pending")]
    [InlineData("dispatch completion z", "zsh")]
    [InlineData("dispatch xyz", "")]
    public async Task Bash_completes(string typed, string completed)
    {
        var words = typed.Split(' ');
        var script = $$"""
            PATH="{{AppContext.BaseDirectory}}:$PATH"
            source <(dispatch completion bash)
            COMP_LINE='{{typed}}' COMP_POINT={{typed.Length}} COMP_WORDS=({{typed}}) COMP_CWORD={{words.Length - 1}}
            _dispatch
            printf '%s\n' "${COMPREPLY[@]}"
            """;
        var outcome = await DispatchProcess.RunAsync(["-c", script], program: "/bin/bash");
        Assert.Equal("", outcome.Errors);
        Assert.Equal(completed, outcome.Output.Trim());
    }

    [Theory]
    [InlineData("bash", "complete -o default -F _dispatch dispatch")]
    [InlineData("zsh", "compdef _dispatch dispatch")]
    [InlineData("fish", "complete --command dispatch")]
    public async Task There_is_a_script_for_each_shell(string shell, string contains)
    {
        var outcome = await DispatchProcess.RunAsync(["completion", shell]);
        Assert.Equal(0, outcome.ExitCode);
        Assert.Contains(contains, outcome.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Another_shell_is_refused() => Assert.Equal(2, (await DispatchProcess.RunAsync(["completion", "tcsh"])).ExitCode);
}
