using System.CommandLine;

namespace Dispatch.Cli.CommandLine;

/// <summary>Labels as <c>--label key=value</c>.</summary>
internal static class Labels
{
    /// <summary>An option that may repeat and checks its form.</summary>
    public static Option<string[]> Option(string description)
    {
        var option = new Option<string[]>("--label") { Description = description, HelpName = "KEY=VALUE" };
        option.Validators.Add(result =>
        {
            foreach (var token in result.Tokens.Where(token => token.Value.IndexOf('=') < 1))
                result.AddError($"--label: '{token.Value}' is no label. Write it as key=value");
        });
        return option;
    }

    /// <summary>The labels given; of a key given twice the last counts.</summary>
    public static IReadOnlyDictionary<string, string> Read(IEnumerable<string>? given)
    {
        var labels = new Dictionary<string, string>();
        foreach (var label in given ?? [])
        {
            var equals = label.IndexOf('=');
            labels[label[..equals]] = label[(equals + 1)..];
        }

        return labels;
    }
}

/// <summary>How many rows of a list are wanted.</summary>
internal static class Limits
{
    /// <summary>The most the broker gives in one page.</summary>
    private const int LargestPage = 1000;

    /// <summary>An option of at least 1.</summary>
    public static Option<int> Option(int standard) => Numbers.Option("--limit", "At most this many", 1, int.MaxValue, standard);

    /// <summary>The size of the pages to ask for.</summary>
    /// <param name="limit">Null: everything.</param>
    public static int Page(int? limit) => Math.Min(limit ?? LargestPage, LargestPage);
}
