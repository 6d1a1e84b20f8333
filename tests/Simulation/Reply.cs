using Dispatch.Sequencing;

namespace Dispatch.Simulation;

/// <summary>What a client learns from a request.</summary>
internal enum Certainty
{
    Answered,

    /// <summary>It was refused with the word that nothing changed.</summary>
    Refused,

    /// <summary>No answer, or one that says that nobody knows.</summary>
    Unknown,
}

/// <param name="Value">Set when answered.</param>
/// <param name="Refusal">Why it was refused, if the broker said so.</param>
internal readonly record struct Reply<T>(Certainty Certainty, T? Value, Refusal? Refusal = null)
{
    public bool IsAnswered => Certainty == Certainty.Answered;
}
