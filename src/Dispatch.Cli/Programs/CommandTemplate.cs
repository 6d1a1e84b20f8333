using System.Text.Json;
using System.Text.RegularExpressions;

namespace Dispatch.Cli.Programs;

/// <summary>
/// A program and its arguments with places for a task's values: <c>{id}</c>, <c>{title}</c>, <c>{attempt}</c> and
/// <c>{context.a.b}</c>, where a number also picks from a list.
/// </summary>
/// <remarks>
/// The line is split into words before anything is filled in, and each word stays one argument whatever the value
/// holds: quotes, spaces, line breaks and <c>; rm -rf</c> are plain text to the program. Values are not looked at
/// again, so a title that reads <c>{context.secret}</c> stays as it is.
/// </remarks>
public sealed partial class CommandTemplate
{
    private readonly IReadOnlyList<string> words;

    private CommandTemplate(IReadOnlyList<string> words) => this.words = words;

    /// <summary>The program as it was written: a path, or a name looked up in PATH.</summary>
    public string Program => words[0];

    /// <summary>Whether an argument takes a value of the task.</summary>
    public bool HasPlaceholders => words.Any(word => Placeholder().IsMatch(word));

    /// <summary>Reads a command line.</summary>
    /// <exception cref="FormatException">It is empty, its quotes do not match, or the program itself is a placeholder.</exception>
    public static CommandTemplate Parse(string commandLine)
    {
        var words = CommandWords.Split(commandLine);
        if (words.Count == 0 || words[0].Length == 0)
            throw new FormatException("it names no program");
        // Whoever submits a task chooses its values. Letting them choose the program would give them the machine.
        if (Placeholder().IsMatch(words[0]))
            throw new FormatException($"the program itself must not be a placeholder: {words[0]}");
        // What follows -c is a program, not an argument: a value put into it would be run.
        if (IsShell(words[0]) && words.Zip(words.Skip(1)).Any(pair => IsScriptFlag(pair.First) && Placeholder().IsMatch(pair.Second)))
            throw new FormatException($"a value inside a shell's script would be run as part of it. Hand it over instead: {words[0]} -c 'wc -l \"$1\"' _ {{context.path}}");
        return new CommandTemplate(words);
    }

    private static bool IsShell(string program) =>
        Path.GetFileNameWithoutExtension(program) is "sh" or "bash" or "dash" or "ash" or "zsh" or "ksh" or "fish" or "cmd" or "pwsh" or "powershell";

    private static bool IsScriptFlag(string word) =>
        word is "/c" or "/C" or "--command" || (word.StartsWith('-') && !word.StartsWith("--", StringComparison.Ordinal) && word.Contains('c', StringComparison.OrdinalIgnoreCase));

    /// <summary>The arguments for one task.</summary>
    /// <param name="task">The task as the broker gave it.</param>
    public Filling Fill(JsonElement task)
    {
        var arguments = new string[words.Count - 1];
        string? fault = null;
        for (var i = 0; i < arguments.Length; i++)
        {
            arguments[i] = Placeholder().Replace(words[i + 1], match =>
            {
                var found = Find(task, match.Groups["path"].Value, out var value);
                fault ??= found;
                return value;
            });
        }

        return fault is null ? new Filling.Done(arguments) : new Filling.Impossible(fault);
    }

    private static string? Find(JsonElement task, string path, out string value)
    {
        value = "";
        var at = task;
        foreach (var name in path.Split('.'))
        {
            var next = at.ValueKind switch
            {
                JsonValueKind.Object when at.TryGetProperty(name, out var member) => member,
                JsonValueKind.Array when int.TryParse(name, out var index) && index >= 0 && index < at.GetArrayLength() => at[index],
                _ => default,
            };
            if (next.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null)
                return $"the command needs {{{path}}}, and the task has no such value";
            at = next;
        }

        try
        {
            value = at.ValueKind == JsonValueKind.String ? at.GetString()! : at.GetRawText();
        }
        catch (InvalidOperationException)
        {
            return $"the value of {{{path}}} is not valid text";
        }

        // The operating system ends an argument at the first NUL: the program would silently see another value.
        return value.Contains('\0') ? $"the value of {{{path}}} contains a NUL character, which no argument can hold" : null;
    }

    // Braces around anything else are left alone, so awk '{ print $1 }' means what it says.
    [GeneratedRegex(@"\{(?<path>id|title|attempt|context(\.[\p{L}\p{N}_-]+)+)\}", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Placeholder();

    /// <summary>What came of filling a template.</summary>
    public abstract record Filling
    {
        private Filling()
        {
        }

        /// <summary>Every placeholder had a value.</summary>
        public sealed record Done(IReadOnlyList<string> Arguments) : Filling;

        /// <summary>The task lacks a value, and no retry will give it one.</summary>
        public sealed record Impossible(string Message) : Filling;
    }
}
