namespace Dispatch.Client;

/// <summary>A process on the broker's database.</summary>
public sealed record Node
{
    /// <summary>Kept over restarts.</summary>
    public required string Name { get; init; }

    /// <summary>Where the other nodes reach it.</summary>
    public required Uri Url { get; init; }

    /// <summary><c>up</c>, <c>draining</c> or <c>gone</c>: no sign of life for three seconds.</summary>
    public required string Status { get; init; }

    public required string Version { get; init; }
    public DateTimeOffset StartedAt { get; init; }

    /// <summary>Milliseconds since its last sign of life.</summary>
    public long SilentMs { get; init; }

    /// <summary>The namespaces that it writes now.</summary>
    public IReadOnlyList<string> Writes { get; init; } = [];
}

/// <summary>A swarm of its own: tasks, agents, tokens and log.</summary>
public sealed record Namespace
{
    public required string Name { get; init; }

    /// <summary>The node that writes it now; null: none does.</summary>
    public string? Writer { get; init; }

    /// <summary>The node that should; null: whichever has least to do.</summary>
    public string? Node { get; init; }

    /// <summary>Raised each time another comes to write it; 0: nobody has, or the store is SQLite.</summary>
    public long Epoch { get; init; }
}

internal sealed record NewNamespace(string Name);

internal sealed record NamespaceMove(string? Node);
