using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Dispatch.Host.Configuration;

/// <summary>How <see cref="LoadedConfig.Show"/> writes.</summary>
public enum ConfigFormat
{
    /// <summary>A dispatch.yaml, each line with a comment that tells its source.</summary>
    Yaml,

    /// <summary>An object of sections, and <c>sources</c> by dotted key.</summary>
    Json,
}

/// <summary>A configuration, and where each of its values came from.</summary>
/// <param name="Config">The values.</param>
/// <param name="Sources">By dotted key; a key that is absent has its default.</param>
/// <param name="File">The file that was read, or null.</param>
public sealed record LoadedConfig(DispatchConfig Config, IReadOnlyDictionary<string, string> Sources, string? File)
{
    // Paths and urls stay readable; what is written goes to a terminal or a file, not into a page.
    private static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    internal static readonly JsonWriterOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>What it was made of.</summary>
    public ConfigInputs Inputs { get; init; } = new() { Environment = new Dictionary<string, string>() };

    /// <summary>Whether there is a file and it can be read again; a pipe can't.</summary>
    public bool IsRepeatable { get; init; }

    /// <summary>Where a key's value came from.</summary>
    public string SourceOf(ConfigKey key) => Sources.GetValueOrDefault(key.Path, "default");

    /// <summary>The effective values with their sources, secrets masked.</summary>
    public string Show(ConfigFormat format) => format == ConfigFormat.Json ? ShowJson() : ShowYaml();

    private string ShowYaml()
    {
        var text = new StringBuilder();
        text.Append("# ").Append(File is null ? "no file" : File).Append('\n');
        foreach (IGrouping<string, ConfigKey> section in ConfigKeys.All.GroupBy(key => key.Section))
        {
            text.Append(section.Key).Append(":\n");
            foreach (ConfigKey key in section)
            {
                // A JSON value is a YAML value.
                string line = $"  {key.Name}: {Json(writer => WriteValue(writer, key), Compact)}";
                text.Append(line.PadRight(48)).Append("  # ").Append(SourceOf(key)).Append('\n');
            }
        }

        return text.ToString();
    }

    private string ShowJson() => Json(
        writer =>
        {
            writer.WriteStartObject();
            foreach (IGrouping<string, ConfigKey> section in ConfigKeys.All.GroupBy(key => key.Section))
            {
                writer.WriteStartObject(section.Key);
                foreach (ConfigKey key in section)
                {
                    writer.WritePropertyName(key.Name);
                    WriteValue(writer, key);
                }

                writer.WriteEndObject();
            }

            writer.WriteStartObject("sources");
            foreach (ConfigKey key in ConfigKeys.All)
                writer.WriteString(key.Path, SourceOf(key));
            writer.WriteEndObject();
            writer.WriteEndObject();
        },
        Indented) + "\n";

    private void WriteValue(Utf8JsonWriter writer, ConfigKey key)
    {
        switch (key.Value(Config))
        {
            case long number:
                writer.WriteNumberValue(number);
                break;
            case bool flag:
                writer.WriteBooleanValue(flag);
                break;
            case string text:
                writer.WriteStringValue(key.Show(text));
                break;
            case IReadOnlyList<string> items:
                writer.WriteStartArray();
                foreach (string item in items)
                    writer.WriteStringValue(item);
                writer.WriteEndArray();
                break;
            case ConfigMap map:
                writer.WriteRawValue(map.Json);
                break;
            default:
                writer.WriteNullValue();
                break;
        }
    }

    private static string Json(Action<Utf8JsonWriter> write, JsonWriterOptions options)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, options))
            write(writer);
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}
