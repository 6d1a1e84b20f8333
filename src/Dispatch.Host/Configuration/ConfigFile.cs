using System.Buffers;
using System.Text;
using System.Text.Json;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Dispatch.Host.Configuration;

/// <summary>One value of the file. <see cref="Text"/> is null for an empty one.</summary>
internal readonly record struct ConfigFileEntry(string Section, string Name, string? Text, int Line);

/// <summary>
/// Reads dispatch.yaml: a mapping of sections, each a mapping of keys. Reads the parser's events rather than a document
/// tree, so that every value keeps its line, a key given twice is seen, and no alias can blow the document up.
/// </summary>
internal sealed class ConfigFile(string path, ReadOnlyMemory<byte>? content, List<ConfigFault> faults)
{
    /// <summary>Most bytes it may have.</summary>
    public const int Largest = 1 << 20;

    // A mapping of a key, in it one more or a list.
    private const int Deepest = 2;

    private readonly List<ConfigFileEntry> entries = [];
    private IParser parser = null!;
    private bool isRepeatable;

    /// <summary>The entries of the file, as far as it can be read; what can't is told in <paramref name="faults"/>.</summary>
    /// <param name="content">What it holds; null: it is read.</param>
    /// <param name="isRepeatable">False for a pipe, which gives what it holds once.</param>
    public static IReadOnlyList<ConfigFileEntry> Read(string path, ReadOnlyMemory<byte>? content, List<ConfigFault> faults, out bool isRepeatable)
    {
        var file = new ConfigFile(path, content, faults);
        file.Read();
        isRepeatable = file.isRepeatable;
        return file.entries;
    }

    private void Read()
    {
        try
        {
            using Stream stream = content is { } known ? new MemoryStream(known.ToArray(), writable: false) : File.OpenRead(path);
            isRepeatable = stream.CanSeek;
            if (isRepeatable && stream.Length > Largest)
            {
                faults.Add(new ConfigFault(path, null, path, $"the file is larger than {Largest} bytes"));
                return;
            }

            using var reader = new StreamReader(stream, new UTF8Encoding(false, throwOnInvalidBytes: true));
            parser = new Parser(reader);
            parser.Consume<StreamStart>();
            if (parser.Accept<StreamEnd>(out _))
                return;

            parser.Consume<DocumentStart>();
            ReadSections();
            parser.Consume<DocumentEnd>();
            if (!parser.Accept<StreamEnd>(out _))
                Fault(path, parser.Current!, "the file holds a second document; one is allowed");
        }
        catch (YamlException e)
        {
            faults.Add(new ConfigFault(path, null, $"{path}:{e.Start.Line}", $"this is not YAML, and nothing after it was read: {e.Message} (column {e.Start.Column})"));
        }
        catch (DecoderFallbackException)
        {
            faults.Add(new ConfigFault(path, null, path, "the file is not UTF-8"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            faults.Add(new ConfigFault(path, null, path, $"the file can't be read: {e.Message}"));
        }
    }

    private void ReadSections()
    {
        if (parser.TryConsume<Scalar>(out Scalar? only))
        {
            // A file of nothing but comments is one empty scalar.
            if (!IsEmpty(only))
                Fault(path, only, "the file must be a mapping of sections, such as \"server:\"");
            return;
        }

        if (!parser.TryConsume<MappingStart>(out _))
        {
            Fault(path, parser.Current!, "the file must be a mapping of sections, such as \"server:\"");
            parser.SkipThisAndNestedEvents();
            return;
        }

        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            if (ReadName(seen, prefix: "") is not { } section)
                continue;

            if (parser.TryConsume<Scalar>(out Scalar? scalar))
            {
                // "server:" with every key commented out is fine.
                if (!IsEmpty(scalar))
                    entries.Add(new ConfigFileEntry("", section, scalar.Value, Line(scalar)));
            }
            else if (parser.TryConsume<MappingStart>(out _))
            {
                ReadKeys(section);
            }
            else
            {
                Fault(section, parser.Current!, "a section must be a mapping of keys");
                parser.SkipThisAndNestedEvents();
            }
        }
    }

    private void ReadKeys(string section)
    {
        var seen = new Dictionary<string, int>(StringComparer.Ordinal);
        while (!parser.TryConsume<MappingEnd>(out _))
        {
            if (ReadName(seen, section + ".") is not { } name)
                continue;

            if (parser.TryConsume<Scalar>(out Scalar? scalar))
            {
                entries.Add(new ConfigFileEntry(section, name, IsEmpty(scalar) ? null : scalar.Value, Line(scalar)));
            }
            else if (parser.TryConsume<SequenceStart>(out SequenceStart? list))
            {
                ReadList(section, name, list);
            }
            else if (ConfigKeys.Find($"{section}.{name}") is { IsMap: true } && parser.Accept<MappingStart>(out MappingStart? map))
            {
                ReadMap(section, name, map);
            }
            else
            {
                Fault($"{section}.{name}", parser.Current!, "the value must be a single value or a list");
                parser.SkipThisAndNestedEvents();
            }
        }
    }

    private void ReadList(string section, string name, SequenceStart start)
    {
        var items = new List<string>();
        while (!parser.TryConsume<SequenceEnd>(out _))
        {
            if (parser.TryConsume<Scalar>(out Scalar? item))
            {
                items.Add(item.Value);
            }
            else
            {
                Fault($"{section}.{name}", parser.Current!, "a list must hold single values");
                parser.SkipThisAndNestedEvents();
            }
        }

        entries.Add(new ConfigFileEntry(section, name, string.Join(',', items), Line(start)));
    }

    private void ReadMap(string section, string name, MappingStart start)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
            WriteNode(json, $"{section}.{name}", 0);
        entries.Add(new ConfigFileEntry(section, name, Encoding.UTF8.GetString(buffer.WrittenSpan), Line(start)));
    }

    /// <summary>Writes what comes next as JSON, every value as a text.</summary>
    private void WriteNode(Utf8JsonWriter json, string key, int depth)
    {
        if (parser.TryConsume<Scalar>(out Scalar? scalar))
        {
            json.WriteStringValue(scalar.Value);
        }
        else if (depth < Deepest && parser.TryConsume<MappingStart>(out _))
        {
            json.WriteStartObject();
            var seen = new Dictionary<string, int>(StringComparer.Ordinal);
            while (!parser.TryConsume<MappingEnd>(out _))
            {
                if (ReadName(seen, key + ".") is not { } name)
                    continue;
                json.WritePropertyName(name);
                WriteNode(json, $"{key}.{name}", depth + 1);
            }

            json.WriteEndObject();
        }
        else if (depth < Deepest && parser.TryConsume<SequenceStart>(out _))
        {
            json.WriteStartArray();
            while (!parser.TryConsume<SequenceEnd>(out _))
                WriteNode(json, key, Deepest);
            json.WriteEndArray();
        }
        else
        {
            Fault(key, parser.Current!, "must hold single values here");
            parser.SkipThisAndNestedEvents();
            json.WriteNullValue();
        }
    }

    /// <summary>The next key of a mapping; null, with its value skipped, when it can't be used.</summary>
    private string? ReadName(Dictionary<string, int> seen, string prefix)
    {
        if (!parser.TryConsume<Scalar>(out Scalar? name))
        {
            Fault(path, parser.Current!, "a key must be a single word");
            parser.SkipThisAndNestedEvents();
            parser.SkipThisAndNestedEvents();
            return null;
        }

        if (seen.TryAdd(name.Value, Line(name)))
            return name.Value;

        Fault(prefix + name.Value, name, $"is given twice; the first is in line {seen[name.Value]}");
        parser.SkipThisAndNestedEvents();
        return null;
    }

    private static bool IsEmpty(Scalar scalar) =>
        scalar.Style == ScalarStyle.Plain && scalar.Value is "" or "~" or "null" or "Null" or "NULL"
        || scalar.Value.Length == 0;

    private static int Line(ParsingEvent at) => (int)at.Start.Line;

    private void Fault(string key, ParsingEvent at, string message) =>
        faults.Add(new ConfigFault(key, null, $"{path}:{Line(at)}", message));
}
