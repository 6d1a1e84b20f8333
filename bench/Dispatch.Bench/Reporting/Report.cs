using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Dispatch.Bench.Reporting;

/// <summary>The outcome of a run, for a person and for a program.</summary>
internal sealed class Report(Machine machine, BenchArguments arguments)
{
    private readonly List<Measure> _measures = [];
    private readonly List<(string Row, string Note)> _notes = [];
    private readonly List<(string Row, string Reason)> _failures = [];

    /// <summary>Whether a row could not be measured.</summary>
    public bool Failed => _failures.Count > 0;

    public void Add(string row, RowResult result)
    {
        _measures.AddRange(result.Measures);
        _notes.AddRange(result.Notes.Select(note => (row, note)));
    }

    public void AddFailure(string row, string reason) => _failures.Add((row, reason));

    /// <summary>The table, with notes and failures under it.</summary>
    public string ToText()
    {
        List<string[]> lines = [["row", "what", "value", "must", "aim", "to bare", "verdict"]];
        lines.AddRange(_measures.Select(measure => new[]
        {
            measure.Row, measure.Name, measure.Format(measure.Value), measure.Format(measure.Must), measure.Format(measure.Aim),
            measure.RatioToBare?.ToString("0.00", CultureInfo.InvariantCulture) ?? "", measure.Verdict,
        }));
        var widths = Enumerable.Range(0, lines[0].Length).Select(column => lines.Max(line => line[column].Length)).ToArray();

        var text = new StringBuilder();
        lines.Insert(1, [.. widths.Select(width => new string('-', width))]);
        foreach (var line in lines)
        {
            var cells = line.Select((cell, column) => IsNumber(column) ? cell.PadLeft(widths[column]) : cell.PadRight(widths[column]));
            text.AppendLine(string.Join("  ", cells).TrimEnd());
        }

        text.AppendLine();
        foreach (var (row, note) in _notes)
            text.AppendLine($"{row}: {note}");

        foreach (var (row, reason) in _failures)
            text.AppendLine($"FAILED {row}: {reason}");

        var below = _measures.Where(measure => measure.Verdict == "BELOW MUST").Select(measure => $"{measure.Row} {measure.Name}").ToList();
        if (below.Count > 0)
            text.AppendLine($"BELOW MUST: {string.Join(", ", below)}");

        text.AppendLine($"machine: {machine}");
        text.AppendLine($"setting: {arguments.Setting}");
        return text.ToString();
    }

    /// <summary>Writes the same as JSON: <c>machine</c>, <c>setting</c>, <c>measures</c>, <c>notes</c>, <c>failures</c>.</summary>
    public void WriteJson(string path)
    {
        using var file = File.Create(path);
        using var json = new Utf8JsonWriter(file, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteStartObject("machine");
        json.WriteString("processor", machine.Processor);
        json.WriteNumber("cores", machine.Cores);
        json.WriteNumber("memory_gib", Math.Round(machine.MemoryGiB, 1));
        json.WriteString("kernel", machine.Kernel);
        json.WriteString("runtime", machine.Runtime);
        json.WriteString("file_system", machine.FileSystem);
        json.WriteNumber("fsync_p50_ms", Math.Round(machine.FsyncP50Ms, 3));
        json.WriteNumber("fsync_p99_ms", Math.Round(machine.FsyncP99Ms, 3));
        json.WriteNumber("load_before", machine.LoadBefore);
        json.WriteString("date", machine.Date);
        json.WriteString("commit", machine.Commit);
        json.WriteEndObject();
        json.WriteString("setting", arguments.Setting);

        json.WriteStartArray("measures");
        foreach (var measure in _measures)
        {
            json.WriteStartObject();
            json.WriteString("row", measure.Row);
            json.WriteString("name", measure.Name);
            WriteNumber(json, "value", measure.Value);
            json.WriteString("unit", measure.Unit);
            WriteNumber(json, "must", measure.Must);
            WriteNumber(json, "aim", measure.Aim);
            WriteNumber(json, "ratio_to_bare", measure.RatioToBare);
            if (measure.Verdict.Length > 0)
                json.WriteString("verdict", measure.Verdict);

            json.WriteEndObject();
        }

        json.WriteEndArray();
        WritePairs(json, "notes", "note", _notes);
        WritePairs(json, "failures", "reason", _failures);
        json.WriteEndObject();
    }

    private static bool IsNumber(int column) => column is >= 2 and <= 5;

    private static void WriteNumber(Utf8JsonWriter json, string name, double? number)
    {
        if (number is { } value && double.IsFinite(value))
            json.WriteNumber(name, Math.Round(value, 4));
    }

    private static void WritePairs(Utf8JsonWriter json, string name, string member, List<(string Row, string Text)> pairs)
    {
        json.WriteStartArray(name);
        foreach (var (row, text) in pairs)
        {
            json.WriteStartObject();
            json.WriteString("row", row);
            json.WriteString(member, text);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
