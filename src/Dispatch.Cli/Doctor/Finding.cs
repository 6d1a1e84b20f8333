namespace Dispatch.Cli.Doctor;

/// <summary>What one check came to.</summary>
/// <param name="Check">The check's name.</param>
/// <param name="Status"><c>ok</c>, <c>warning</c> or <c>fault</c>.</param>
/// <param name="Message">A sentence.</param>
/// <param name="Next">What to do about it; null when there is nothing to do.</param>
internal sealed record Finding(string Check, string Status, string Message, string? Next = null)
{
    public const string Fine = "ok";
    public const string Warning = "warning";
    public const string Fault = "fault";

    /// <summary>Single things that are wrong, where there are several.</summary>
    public IReadOnlyList<string>? Details { get; init; }
}

/// <summary>All findings for a machine.</summary>
internal sealed record FindingsBody(bool Ok, IReadOnlyList<Finding> Findings);
