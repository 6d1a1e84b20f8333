using System.CommandLine;
using Dispatch.Cli.CommandLine;

namespace Dispatch.Cli.Operations;

/// <summary><c>dispatch completion</c>: scripts that make a shell complete this command.</summary>
/// <remarks>The scripts ask the program itself at each TAB, so they never go out of date.</remarks>
internal static class CompletionCommand
{
    private const string Bash = """
        # bash completion for dispatch. Load it with: source <(dispatch completion bash)
        _dispatch() {
          local word="${COMP_WORDS[COMP_CWORD]}" candidate
          COMPREPLY=()
          while IFS= read -r candidate; do
            [[ $candidate == "$word"* ]] && COMPREPLY+=("$candidate")
          done < <("${COMP_WORDS[0]}" "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)
        }
        complete -o default -F _dispatch dispatch
        """;

    private const string Zsh = """
        #compdef dispatch
        # zsh completion for dispatch. Load it with: source <(dispatch completion zsh)
        _dispatch() {
          local line="${(j: :)words[1,CURRENT]}"
          local -a candidates
          candidates=("${(@f)$("${words[1]}" "[suggest:${#line}]" "$line" 2>/dev/null)}")
          compadd -a candidates || _files
        }
        compdef _dispatch dispatch
        """;

    private const string Fish = """
        # fish completion for dispatch. Load it with: dispatch completion fish | source
        function __dispatch_complete
          set -l line (commandline --cut-at-cursor)
          dispatch "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete --command dispatch --arguments '(__dispatch_complete)'
        """;

    public static Command Create()
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish" };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        return new DispatchCommand("completion", "Print a script that makes a shell complete this command")
        {
            Arguments = { shell },
            Examples =
            [
                "source <(dispatch completion bash)",
                "dispatch completion zsh > ~/.zfunc/_dispatch",
                "dispatch completion fish > ~/.config/fish/completions/dispatch.fish",
            ],
        }.Does(run =>
        {
            var script = run.Get(shell) switch { "bash" => Bash, "zsh" => Zsh, _ => Fish };
            if (run.Screen.Json)
                run.Screen.WriteJson(CliJson.Write(new CompletionBody(run.Get(shell), script)));
            else
                Console.Out.WriteLine(script);
            return Task.FromResult(ExitCode.Ok);
        });
    }
}

/// <summary>A completion script for a machine.</summary>
internal sealed record CompletionBody(string Shell, string Script);
