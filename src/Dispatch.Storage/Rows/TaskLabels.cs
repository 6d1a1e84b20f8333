using System.Text.Json;
using Dispatch.Events;

namespace Dispatch.Storage.Rows;

/// <summary>The labels of a task as the words they are looked up by: <c>key=value</c>.</summary>
internal static class TaskLabels
{
    internal static IReadOnlyList<string> Of(JsonBytes? labels)
    {
        if (labels is null || labels.Length <= 2)
            return [];

        var words = new List<string>();
        var reader = new Utf8JsonReader(labels.Span);
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName || reader.CurrentDepth != 1)
                continue;

            var key = reader.GetString();
            if (reader.Read() && reader.TokenType == JsonTokenType.String && $"{key}={reader.GetString()}" is var word && !words.Contains(word))
                words.Add(word);
        }

        return words;
    }
}
