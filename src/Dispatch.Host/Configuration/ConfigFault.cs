namespace Dispatch.Host.Configuration;

/// <summary>One thing wrong with the configuration, written for the person who has to mend it.</summary>
/// <param name="Key">Dotted key, or the file when it can't be read at all.</param>
/// <param name="Value">What was given, with secrets masked; null where there is none to show.</param>
/// <param name="Source">Where it was given: <c>FILE:LINE</c>, <c>variable NAME</c>, <c>flag NAME</c> or <c>default</c>.</param>
/// <param name="Message">What is wrong and what is allowed.</param>
public sealed record ConfigFault(string Key, string? Value, string Source, string Message)
{
    /// <summary>One line.</summary>
    public override string ToString() => Value is null
        ? $"{Key} ({Source}): {Message}"
        : $"{Key} = \"{Value}\" ({Source}): {Message}";
}

/// <summary>What loading came to.</summary>
public abstract record ConfigOutcome
{
    private ConfigOutcome()
    {
    }

    /// <summary>Every value is good.</summary>
    public sealed record Loaded(LoadedConfig Config) : ConfigOutcome;

    /// <summary>At least one is not: all of them, file first, in the order found.</summary>
    public sealed record Faulty(IReadOnlyList<ConfigFault> Faults) : ConfigOutcome;
}
