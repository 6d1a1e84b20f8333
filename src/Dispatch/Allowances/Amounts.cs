using System.Text.Json;
using System.Text.Json.Serialization;

namespace Dispatch.Allowances;

/// <summary>Amounts by the balance they are booked on, in the order of booking: an object of key to whole number in JSON. Immutable.</summary>
[JsonConverter(typeof(AmountsConverter))]
public sealed class Amounts(KeyValuePair<string, long>[] items) : IEquatable<Amounts>
{
    public static readonly Amounts None = new([]);

    private readonly KeyValuePair<string, long>[] items = items;

    public ReadOnlySpan<KeyValuePair<string, long>> Items => items;

    /// <summary>
    /// The table that made this and its balances of <see cref="Items"/>, one by one: it need not look them up. Null, or of the state before a reload: they are looked
    /// up by key.
    /// </summary>
    internal (AllowanceTable Table, BalanceEntry[] Entries)? Resolved { get; init; }

    public int Count => items.Length;

    public IEnumerable<string> Keys => items.Select(item => item.Key);

    /// <summary>The amount on this balance; 0 when there is none.</summary>
    public long this[string key]
    {
        get
        {
            foreach (var (known, amount) in items)
            {
                if (string.Equals(known, key, StringComparison.Ordinal))
                    return amount;
            }

            return 0;
        }
    }

    public bool Contains(string key) => Array.Exists(items, item => string.Equals(item.Key, key, StringComparison.Ordinal));

    /// <summary>Those whose key is wanted.</summary>
    internal Amounts Where(Func<string, bool> isWanted) => new(Array.FindAll(items, item => isWanted(item.Key)));

    /// <summary>These and the others, added by key; a sum past the largest number stays there.</summary>
    public Amounts Plus(Amounts? others)
    {
        if (others is null || others.Count == 0)
            return this;
        if (Count == 0)
            return others;
        var sums = new List<KeyValuePair<string, long>>(items);
        foreach (var (key, amount) in others.items)
        {
            var at = sums.FindIndex(item => string.Equals(item.Key, key, StringComparison.Ordinal));
            if (at < 0)
                sums.Add(new(key, amount));
            else
                sums[at] = new(key, Add(sums[at].Value, amount));
        }

        return new Amounts([.. sums]);
    }

    /// <summary>These less the others, by key and never below zero.</summary>
    public Amounts Minus(Amounts? others) =>
        others is null || others.Count == 0 ? this : new Amounts(Array.ConvertAll(items, item => new KeyValuePair<string, long>(item.Key, Math.Max(0, item.Value - others[item.Key])))) { Resolved = Resolved };

    public bool Equals(Amounts? other) => other is not null && items.AsSpan().SequenceEqual(other.items);

    public override bool Equals(object? obj) => Equals(obj as Amounts);

    public override int GetHashCode()
    {
        var code = default(HashCode);
        foreach (var (key, amount) in items)
        {
            code.Add(key, StringComparer.Ordinal);
            code.Add(amount);
        }

        return code.ToHashCode();
    }

    public override string ToString() => string.Join(", ", items.Select(item => $"{item.Key} {item.Value}"));

    /// <summary>The sum of two amounts that are not negative; the largest number when it would be more.</summary>
    internal static long Add(long one, long other) => one > long.MaxValue - other ? long.MaxValue : one + other;
}

/// <summary>Written as <c>{"coder-1-day":1200,"swarm-money":15000}</c>.</summary>
public sealed class AmountsConverter : JsonConverter<Amounts>
{
    public override Amounts Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException("Amounts are an object.");
        var items = new List<KeyValuePair<string, long>>();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var key = reader.GetString()!;
            reader.Read();
            items.Add(new(key, reader.GetInt64()));
        }

        return new Amounts([.. items]);
    }

    public override void Write(Utf8JsonWriter writer, Amounts value, JsonSerializerOptions options)
    {
        writer.WriteStartObject();
        foreach (var (key, amount) in value.Items)
            writer.WriteNumber(key, amount);
        writer.WriteEndObject();
    }
}
