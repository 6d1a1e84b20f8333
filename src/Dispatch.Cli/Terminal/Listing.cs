using Spectre.Console;

namespace Dispatch.Cli.Terminal;

/// <summary>Rows of text under headings, for people.</summary>
internal sealed class Listing
{
    private readonly Table table = new() { Border = TableBorder.None, UseSafeBorder = true };

    /// <summary>An empty listing. A heading that begins with <c>&gt;</c> is for numbers, which stand to the right.</summary>
    public Listing(params string[] headings)
    {
        foreach (var heading in headings)
        {
            var right = heading.StartsWith('>');
            table.AddColumn(new TableColumn(new Text(heading.TrimStart('>'), new Style(decoration: Decoration.Dim)))
            {
                Alignment = right ? Justify.Right : Justify.Left,
                Padding = new Padding(0, 0, 2, 0),
            });
        }
    }

    /// <summary>The table, to be put somewhere.</summary>
    public Table Table => table;

    /// <summary>Adds a row; its cells are plain text, made harmless.</summary>
    public void Add(params Cell[] cells) =>
        table.AddRow(cells.Select(cell => new Text(TerminalText.Line(cell.Text), cell.Style ?? Style.Plain)));

    /// <summary>Writes it to standard output.</summary>
    public void Write(Screen screen) => screen.Output.Write(table);
}

/// <summary>One cell of a listing.</summary>
/// <param name="Text">Anybody's text.</param>
/// <param name="Style">How it looks; null: plain.</param>
internal readonly record struct Cell(string? Text, Style? Style = null)
{
    public static implicit operator Cell(string? text) => new(text);

    public static implicit operator Cell(long number) => new(number.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>The name of a task's or an agent's state, in its colour.</summary>
    public static Cell State(string state) => new(state, new Style(state switch
    {
        "completed" or "ready" => Color.Green,
        "failed" or "timeout" or "lost" or "offline" or "degraded" => Color.Red,
        "running" or "assigned" or "busy" => Color.Blue,
        "cancelled" or "sleeping" or "released" => Color.Grey,
        _ => Color.Yellow,
    }));
}
