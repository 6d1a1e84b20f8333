using System.Globalization;
using System.Text.Json;

namespace Dispatch.Host.Configuration;

/// <summary>
/// One row of the key table: the only place that knows how a key is named, written, limited and described. The default
/// is that of the section's property.
/// </summary>
public sealed class ConfigKey
{
    private readonly Func<DispatchConfig, string, DispatchConfig?> apply;
    private readonly Func<DispatchConfig, DispatchConfig>? clear;

    private ConfigKey(
        string path,
        string allowed,
        Func<DispatchConfig, object?> value,
        Func<DispatchConfig, string, DispatchConfig?> apply,
        Func<DispatchConfig, DispatchConfig>? clear)
    {
        Path = path;
        Section = path[..path.IndexOf('.', StringComparison.Ordinal)];
        Name = path[(Section.Length + 1)..];
        Allowed = allowed;
        Value = value;
        this.apply = apply;
        this.clear = clear;
    }

    /// <summary>Dotted name, <c>section.key</c>.</summary>
    public string Path { get; }

    /// <summary>First part of <see cref="Path"/>.</summary>
    public string Section { get; }

    /// <summary>Second part of <see cref="Path"/>.</summary>
    public string Name { get; }

    /// <summary>What a value may be, as the end of the sentence "allowed is ...".</summary>
    public string Allowed { get; }

    /// <summary>What the key does, one sentence.</summary>
    public required string Summary { get; init; }

    /// <summary>Its short environment variable, or null.</summary>
    public string? Variable { get; init; }

    /// <summary>Whether the value is never shown.</summary>
    public bool IsSecret { get; init; }

    /// <summary>Whether a new value takes effect in a running broker; else at its next start.</summary>
    public bool IsLive { get; init; }

    /// <summary>The long environment variable that every key has.</summary>
    public string LongVariable => $"DISPATCH__{Section.ToUpperInvariant()}__{Name.ToUpperInvariant()}";

    /// <summary>The value in a configuration: long, bool, string, list of strings, <see cref="ConfigMap"/>, or null. Not masked.</summary>
    public Func<DispatchConfig, object?> Value { get; }

    /// <summary>Whether the value is a mapping, which is JSON outside the file.</summary>
    public bool IsMap { get; init; }

    /// <summary>Whether the key may be empty.</summary>
    public bool IsOptional => clear is not null;

    /// <summary>The configuration with this key set, or null when the text is not allowed. Null or empty text unsets an optional key.</summary>
    public DispatchConfig? Apply(DispatchConfig config, string? text) =>
        string.IsNullOrEmpty(text) ? clear?.Invoke(config) : apply(config, text);

    /// <summary>Whether two configurations have the same value.</summary>
    public bool IsSame(DispatchConfig one, DispatchConfig other) => string.Equals(TextOf(one), TextOf(other), StringComparison.Ordinal);

    /// <summary>The configuration with this key's value of another one, which was allowed there.</summary>
    public DispatchConfig Copy(DispatchConfig from, DispatchConfig to) => Apply(to, TextOf(from))!;

    /// <summary>A text given for this key as it may be shown.</summary>
    public string? Show(string? text) => text is null or "" ? text : IsSecret ? "***" : SecretMask.Url(text);

    private string? TextOf(DispatchConfig config) => Value(config) switch
    {
        IReadOnlyList<string> items => string.Join(',', items),
        var value => Convert.ToString(value, CultureInfo.InvariantCulture),
    };

    internal static ConfigKey Number(
        string path, long least, long most, Func<DispatchConfig, int> get, Func<DispatchConfig, int, DispatchConfig> set, string summary, string? variable = null, bool live = false) =>
        new(
            path,
            $"a whole number from {least} to {most}",
            config => (long)get(config),
            (config, text) => Whole(text, least, most) is { } number ? set(config, (int)number) : null,
            clear: null)
        {
            Summary = summary,
            Variable = variable,
            IsLive = live,
        };

    internal static ConfigKey Size(
        string path, long least, long most, Func<DispatchConfig, long> get, Func<DispatchConfig, long, DispatchConfig> set, string summary, bool live = false) =>
        new(
            path,
            $"0 or a whole number of bytes from {least} to {most}",
            config => get(config),
            (config, text) => (Whole(text, 0, 0) ?? Whole(text, least, most)) is { } number ? set(config, number) : null,
            clear: null)
        {
            Summary = summary,
            IsLive = live,
        };

    internal static ConfigKey Duration(
        string path,
        long least,
        long most,
        Func<DispatchConfig, TimeSpan> get,
        Func<DispatchConfig, TimeSpan, DispatchConfig> set,
        string summary,
        string? variable = null,
        bool orZero = false,
        bool live = false) =>
        new(
            path,
            $"{(orZero ? "0 or " : "")}a whole number of milliseconds from {least} to {most}",
            config => (long)get(config).TotalMilliseconds,
            (config, text) => ((orZero ? Whole(text, 0, 0) : null) ?? Whole(text, least, most)) is { } number ? set(config, TimeSpan.FromMilliseconds(number)) : null,
            clear: null)
        {
            Summary = summary,
            Variable = variable,
            IsLive = live,
        };

    internal static ConfigKey Flag(
        string path, Func<DispatchConfig, bool> get, Func<DispatchConfig, bool, DispatchConfig> set, string summary, string? variable = null, bool live = false) =>
        new(
            path,
            "true or false",
            config => get(config),
            (config, text) => bool.TryParse(text, out bool flag) ? set(config, flag) : null,
            clear: null)
        {
            Summary = summary,
            Variable = variable,
            IsLive = live,
        };

    internal static ConfigKey Choice<T>(
        string path,
        IReadOnlyList<(string Name, T Value)> choices,
        Func<DispatchConfig, T> get,
        Func<DispatchConfig, T, DispatchConfig> set,
        string summary,
        string? variable = null,
        Func<DispatchConfig, DispatchConfig>? clear = null,
        bool live = false) =>
        new(
            path,
            string.Join(", ", choices.Take(choices.Count - 1).Select(choice => choice.Name)) + " or " + choices[^1].Name,
            config => choices.First(choice => Equals(choice.Value, get(config))).Name,
            (config, text) =>
            {
                foreach ((string name, T value) in choices)
                {
                    if (name == text)
                        return set(config, value);
                }

                return null;
            },
            clear)
        {
            Summary = summary,
            Variable = variable,
            IsLive = live,
        };

    internal static ConfigKey Text(
        string path,
        string allowed,
        Func<string, bool> isAllowed,
        Func<DispatchConfig, string?> get,
        Func<DispatchConfig, string?, DispatchConfig> set,
        string summary,
        string? variable = null,
        bool optional = false,
        bool secret = false,
        bool live = false) =>
        new(
            path,
            allowed,
            get,
            (config, text) => isAllowed(text) ? set(config, text) : null,
            optional ? config => set(config, null) : null)
        {
            Summary = summary,
            Variable = variable,
            IsSecret = secret,
            IsLive = live,
        };

    internal static ConfigKey List(
        string path,
        string allowed,
        Func<string, bool> isAllowed,
        Func<DispatchConfig, IReadOnlyList<string>> get,
        Func<DispatchConfig, IReadOnlyList<string>, DispatchConfig> set,
        string summary) =>
        new(
            path,
            allowed,
            get,
            (config, text) =>
            {
                string[] items = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
                return items.All(isAllowed) ? set(config, items) : null;
            },
            config => set(config, []))
        {
            Summary = summary,
        };

    internal static ConfigKey Map<T>(
        string path,
        string allowed,
        Func<string, T?> read,
        Func<DispatchConfig, ConfigMap> get,
        Func<DispatchConfig, T, DispatchConfig> set,
        string summary)
        where T : class =>
        new(path, allowed, config => get(config), (config, text) => read(text) is { } map ? set(config, map) : null, config => set(config, read("{}")!))
        {
            Summary = summary,
            IsMap = true,
            IsLive = true,
        };

    internal static (string Name, T Value)[] Names<T>()
        where T : struct, Enum =>
        [.. Enum.GetValues<T>().Select(value => (JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString()), value))];

    private static long? Whole(string text, long least, long most) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
        && number >= least && number <= most
            ? number
            : null;
}
