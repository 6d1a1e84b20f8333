namespace Dispatch.Chaos.Wire;

/// <summary>Which of the nodes an actor talks to: one for a while, then another, and another at once when it does not answer. Used by one actor.</summary>
public sealed class NodeChoice
{
    private const int Stay = 60;
    private readonly IReadOnlyList<int> ports;
    private readonly Random chance;
    private int at;

    /// <param name="ports">At least one.</param>
    /// <param name="chance">The same seed draws the same nodes.</param>
    public NodeChoice(IReadOnlyList<int> ports, Random chance)
    {
        ArgumentOutOfRangeException.ThrowIfZero(ports.Count);
        this.ports = ports;
        this.chance = chance;
        at = chance.Next(ports.Count);
    }

    /// <summary>Where it talks to now.</summary>
    public int Port => ports[at];

    /// <summary>There is no other.</summary>
    public static NodeChoice Only(int port) => new([port], new Random(0));

    /// <summary>From now on another. False: there is none.</summary>
    public bool Change()
    {
        if (ports.Count == 1)
            return false;
        at = (at + chance.Next(1, ports.Count)) % ports.Count;
        return true;
    }

    /// <summary>Asked before each request: now and then it goes to another without a reason.</summary>
    public bool Wanders() => ports.Count > 1 && chance.Next(Stay) == 0 && Change();
}
