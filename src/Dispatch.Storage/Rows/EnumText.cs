using System.Text;
using System.Text.Json;

namespace Dispatch.Storage.Rows;

/// <summary>The words an enumeration is stored as: the same lower-case words as on the wire.</summary>
internal sealed class EnumText<T>
    where T : struct, Enum
{
    private readonly T[] values = Enum.GetValues<T>();
    private readonly byte[][] words;

    internal EnumText() =>
        words = values.Select(value => Encoding.UTF8.GetBytes(JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()))).ToArray();

    /// <summary>The word for a value. The values are 0, 1, 2 ... so that the value is the index.</summary>
    internal ReadOnlySpan<byte> Word(int value) => words[value];

    /// <summary>The word as text.</summary>
    internal string Name(int value) => Encoding.UTF8.GetString(words[value]);

    internal T Parse(ReadOnlySpan<byte> word)
    {
        for (var n = 0; n < words.Length; n++)
        {
            if (word.SequenceEqual(words[n]))
                return values[n];
        }

        throw new FormatException($"'{Encoding.UTF8.GetString(word)}' is not a {typeof(T).Name}.");
    }
}
