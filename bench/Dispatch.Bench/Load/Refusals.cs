using System.Text;

namespace Dispatch.Bench.Load;

/// <summary>Counts the answers that were not what the load asked for, and keeps the first of each status as an example.</summary>
internal sealed class Refusals
{
    private readonly SortedDictionary<int, (long Count, string Example)> _byStatus = [];

    /// <summary>How many there were.</summary>
    public long Count { get; private set; }

    /// <summary>How many were not a "come back later" (429, 503): these mean that the run does not work.</summary>
    public long Faults { get; private set; }

    public void Add(int status, ReadOnlySpan<byte> body)
    {
        Count++;
        if (status is not (429 or 503))
            Faults++;

        _byStatus[status] = _byStatus.TryGetValue(status, out var known)
            ? (known.Count + 1, known.Example)
            : (1, Encoding.UTF8.GetString(body[..Math.Min(400, body.Length)]));
    }

    /// <exception cref="RunFailedException">There were faults.</exception>
    public void ThrowOnFault()
    {
        if (Faults > 0)
            throw new RunFailedException($"Unexpected answers: {this}");
    }

    public override string ToString() =>
        string.Join("; ", _byStatus.Select(entry => $"{entry.Value.Count} x {entry.Key} {entry.Value.Example}"));
}
