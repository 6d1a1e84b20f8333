namespace Dispatch.Matching;

/// <summary>
/// What a task asks of an agent. Capabilities are compared without regard to case; the spelling given is kept for display.
/// Tasks that ask for the same share one instance (see <see cref="RequirementPool"/>).
/// </summary>
public sealed class Requirement
{
    public static readonly Requirement Anyone = new([], [], null);

    private readonly int hash;

    internal Requirement(string[] required, string[] preferred, string? owner)
    {
        Required = required;
        Preferred = preferred;
        Owner = owner;
        RequiredKeys = Fold(required);
        PreferredKeys = Fold(preferred);
        hash = HashOf(required, preferred, owner);
    }

    public string[] Required { get; }

    public string[] Preferred { get; }

    /// <summary>Only agents of this owner may take it (when the owner filter is on); null: anyone's.</summary>
    public string? Owner { get; }

    internal string[] RequiredKeys { get; }

    internal string[] PreferredKeys { get; }

    /// <summary>The form in which capabilities are compared.</summary>
    public static string Fold(string capability) => capability.Trim().ToLowerInvariant();

    internal static string[] Fold(IEnumerable<string> capabilities) =>
        capabilities.Select(Fold).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray();

    internal static int HashOf(string[] required, string[] preferred, string? owner)
    {
        var code = default(HashCode);
        foreach (var capability in required)
            code.Add(capability);
        code.Add(0);
        foreach (var capability in preferred)
            code.Add(capability);
        code.Add(owner);
        return code.ToHashCode();
    }

    internal bool Is(string[] required, string[] preferred, string? owner) =>
        string.Equals(Owner, owner, StringComparison.Ordinal) && Required.AsSpan().SequenceEqual(required) && Preferred.AsSpan().SequenceEqual(preferred);

    public override int GetHashCode() => hash;

    public override bool Equals(object? obj) => obj is Requirement other && Is(other.Required, other.Preferred, other.Owner);
}

/// <summary>Makes equal requirements one instance. Not for use by several threads at once.</summary>
public sealed class RequirementPool
{
    // Requirements that no task uses any more are dropped all together when the pool grows past this.
    private const int Limit = 100_000;

    private readonly Dictionary<int, List<Requirement>> known = [];
    private int count;

    public Requirement Get(string[] required, string[] preferred, string? owner)
    {
        if (required.Length == 0 && preferred.Length == 0 && owner is null)
            return Requirement.Anyone;

        var hash = Requirement.HashOf(required, preferred, owner);
        if (!known.TryGetValue(hash, out var same))
            known[hash] = same = [];
        foreach (var candidate in same)
        {
            if (candidate.Is(required, preferred, owner))
                return candidate;
        }

        if (++count > Limit)
        {
            known.Clear();
            known[hash] = same = [];
            count = 1;
        }

        var made = new Requirement(required, preferred, owner);
        same.Add(made);
        return made;
    }
}
