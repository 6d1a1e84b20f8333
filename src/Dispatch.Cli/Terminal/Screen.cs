using Spectre.Console;

namespace Dispatch.Cli.Terminal;

/// <summary>Where a command writes: results to standard output, notes for people to standard error.</summary>
/// <remarks>
/// With <see cref="Json"/>, standard output carries JSON and nothing else. Colour is used only on a terminal, and not when
/// NO_COLOR is set to anything. Text is written as text, never read as markup.
/// </remarks>
internal sealed class Screen
{
    /// <summary>Columns assumed where nothing limits them, so that piped output is never cut or wrapped.</summary>
    private const int Unlimited = 100_000;

    private readonly Lazy<IAnsiConsole> output;
    private readonly Lazy<IAnsiConsole> notes;

    /// <summary>The process's own streams.</summary>
    /// <param name="json">True when the caller asked for JSON.</param>
    public Screen(bool json)
    {
        Json = json;
        output = new Lazy<IAnsiConsole>(() => Make(Console.Out, Console.IsOutputRedirected));
        notes = new Lazy<IAnsiConsole>(() => Make(Console.Error, Console.IsErrorRedirected));
    }

    /// <summary>True when standard output is for a machine.</summary>
    public bool Json { get; }

    /// <summary>True when a person watches standard output.</summary>
    public bool OutputIsTerminal { get; } = !Console.IsOutputRedirected;

    /// <summary>True when a person watches standard error.</summary>
    public bool NotesAreTerminal { get; } = !Console.IsErrorRedirected;

    /// <summary>Standard output for rich content.</summary>
    public IAnsiConsole Output => output.Value;

    /// <summary>Standard error for rich content.</summary>
    public IAnsiConsole Notes => notes.Value;

    /// <summary>One line of result for a person; nothing in JSON mode.</summary>
    public void Line(string text = "")
    {
        if (!Json)
            Console.Out.WriteLine(TerminalText.Lines(text));
    }

    /// <summary>One JSON value, on a line of its own.</summary>
    public void WriteJson(string json) => Console.Out.WriteLine(json);

    /// <summary>A note for the person who runs the command.</summary>
    public void Note(string text) => Console.Error.WriteLine(TerminalText.Lines(text));

    private static IAnsiConsole Make(TextWriter writer, bool redirected)
    {
        var colourless = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
        var dumb = redirected || Environment.GetEnvironmentVariable("TERM") is "dumb";
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = dumb ? AnsiSupport.No : AnsiSupport.Detect,
            ColorSystem = colourless || dumb ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
            Interactive = dumb ? InteractionSupport.No : InteractionSupport.Detect,
            Out = new AnsiConsoleOutput(writer),
        });
        if (redirected)
            console.Profile.Width = Unlimited;
        return console;
    }
}
