using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Quota;

/// <summary>Amounts as people write them: money with a point, lengths of time as durations, all else as whole numbers.</summary>
internal static class QuotaAmount
{
    /// <summary>What one of the currency is on the wire.</summary>
    private const long Micro = 1_000_000;
    private const int Digits = 6;

    /// <summary>The largest the broker takes.</summary>
    private const long Most = 9_007_199_254_740_991;

    /// <summary>Reads an amount of a unit, exactly.</summary>
    /// <param name="fault">What is wrong with it, when it is none.</param>
    public static bool TryParse(string text, string unit, out long amount, out string fault)
    {
        amount = 0;
        fault = "";
        if (IsTime(unit) && Durations.TryParse(text, out var duration))
        {
            amount = (long)duration.TotalMilliseconds;
            return true;
        }

        var parts = unit == LimitUnit.Money ? text.Split('.') : [text];
        var isNumber = parts.Length <= 2 && parts.All(part => part.Length > 0 && part.All(char.IsAsciiDigit)) && (parts.Length == 1 || parts[1].Length <= Digits);
        if (isNumber && Int128.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var whole) && whole <= Most)
        {
            var exact = unit == LimitUnit.Money ? (whole * Micro) + (parts.Length == 1 ? 0 : long.Parse(parts[1].PadRight(Digits, '0'), NumberStyles.None, CultureInfo.InvariantCulture)) : whole;
            if (exact <= Most)
            {
                amount = (long)exact;
                return true;
            }
        }

        fault = $"'{text}' is no amount of {Name(unit)}. " + unit switch
        {
            LimitUnit.Money => "Write it like 12.50, with at most 6 digits behind the point, up to 9007199254.740991",
            _ when IsTime(unit) => "Write it like 30m, or as milliseconds",
            _ => $"Give a whole number from 0 to {Most}",
        };
        return false;
    }

    /// <summary>Reads <c>NAME=AMOUNT</c> pairs; of a name given twice the last counts.</summary>
    /// <exception cref="CommandException">One is no pair, or its amount none.</exception>
    public static Dictionary<string, long> ReadPairs(IEnumerable<string>? given, string option)
    {
        var amounts = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var pair in given ?? [])
        {
            var equals = pair.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1)
                throw CommandException.Usage($"{option}: '{pair}' is no pair of name and amount", $"Write it like {option} tokens=100000, or {option} money=12.50");
            var name = pair[..equals];
            if (!TryParse(pair[(equals + 1)..], name, out var amount, out var fault))
                throw CommandException.Usage($"{option}: {fault}");
            amounts[name] = amount;
        }

        return amounts;
    }

    /// <summary>Amounts as a JSON object, with a model when one is given.</summary>
    public static JsonElement ToJson(IReadOnlyDictionary<string, long> amounts, string? model = null)
    {
        var members = new JsonObject(amounts.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value)));
        if (model is not null)
            members["model"] = model;
        return JsonElement.Parse(members.ToJsonString());
    }

    /// <summary>An amount with the name of its unit: <c>5,000,000 tokens</c>.</summary>
    public static string Show(long amount, string unit) => unit switch
    {
        _ when IsTime(unit) => Number(amount, unit),
        _ => $"{Number(amount, unit)} {(amount == 1 && unit.EndsWith('s') && unit is not (LimitUnit.TokensIn or LimitUnit.TokensOut) ? Name(unit)[..^1] : Name(unit))}",
    };

    /// <summary>An amount alone.</summary>
    public static string Number(long amount, string unit) => unit switch
    {
        LimitUnit.Money => Decimal(amount),
        _ when IsTime(unit) => Durations.Show(TimeSpan.FromMilliseconds(amount)),
        _ => amount.ToString("N0", CultureInfo.InvariantCulture),
    };

    private static string Name(string unit) => unit.Replace('_', ' ');

    private static bool IsTime(string unit) => unit.EndsWith("_ms", StringComparison.Ordinal);

    private static string Decimal(long micro)
    {
        var fraction = (micro % Micro).ToString("D6", CultureInfo.InvariantCulture).TrimEnd('0').PadRight(2, '0');
        return $"{(micro / Micro).ToString("N0", CultureInfo.InvariantCulture)}.{fraction}";
    }
}
