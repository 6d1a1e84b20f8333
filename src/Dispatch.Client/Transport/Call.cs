using System.Text;

namespace Dispatch.Client;

/// <summary>What a repeated call does when the first one had already been carried out.</summary>
internal enum Repeating
{
    /// <summary>The same again, or nothing: it may be repeated after any loss.</summary>
    Safe,

    /// <summary>Something else: it may be repeated only when the first surely had no effect.</summary>
    OnlyIfUntouched,

    /// <summary>The caller repeats by itself.</summary>
    Never,
}

/// <summary>One call of the API, before it is put on the wire.</summary>
internal sealed record Call(HttpMethod Method, Uri Address, Repeating Repeating)
{
    public byte[]? Body { get; init; }

    /// <summary>How long the broker is asked to hold its answer.</summary>
    public TimeSpan Wait { get; init; }

    /// <summary>True for addresses outside the API, which have no business with the caller's token.</summary>
    public bool Anonymous { get; init; }
}

/// <summary>Builds the path and query of a call; everything handed in is escaped.</summary>
internal sealed class PathAndQuery(string path)
{
    private readonly StringBuilder text = new(path);
    private char separator = '?';

    public PathAndQuery Segment(string value)
    {
        // "." and ".." would be folded away by Uri and end up at another route.
        if (value.Length == 0 || value is "." or "..")
            throw new ArgumentException($"'{value}' is no id.", nameof(value));
        text.Append('/').Append(Uri.EscapeDataString(value));
        return this;
    }

    public PathAndQuery Then(string literal)
    {
        text.Append('/').Append(literal);
        return this;
    }

    public PathAndQuery With(string name, string? value)
    {
        if (value is null)
            return this;
        text.Append(separator).Append(name).Append('=').Append(Uri.EscapeDataString(value));
        separator = '&';
        return this;
    }

    public PathAndQuery With(string name, long? value) => With(name, value?.ToString(System.Globalization.CultureInfo.InvariantCulture));

    public override string ToString() => text.ToString();
}
