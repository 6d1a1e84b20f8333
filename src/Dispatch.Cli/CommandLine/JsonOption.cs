using System.Text.Json;

namespace Dispatch.Cli.CommandLine;

/// <summary>Options that take a JSON object: as it is, from a file with <c>@FILE</c>, or from standard input with <c>@-</c>.</summary>
internal static class JsonOption
{
    /// <param name="example">An object that the option could take.</param>
    /// <exception cref="CommandException">It is no JSON object.</exception>
    public static async Task<JsonElement> ReadObjectAsync(string given, string option, string example, CancellationToken stop)
    {
        var (text, source) = given switch
        {
            "@-" => (await Console.In.ReadToEndAsync(stop), "standard input"),
            ['@', .. var path] => (await File.ReadAllTextAsync(path, stop), path),
            _ => (given, option),
        };
        try
        {
            using var document = JsonDocument.Parse(text);
            if (document.RootElement.ValueKind == JsonValueKind.Object)
                return document.RootElement.Clone();
        }
        catch (JsonException e)
        {
            throw CommandException.Usage($"{source} holds no valid JSON: {e.Message}", $"Write an object, for example {option} '{example}'");
        }

        throw CommandException.Usage($"{source} holds JSON, but no object", $"Write an object, for example {option} '{example}'");
    }
}
