using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Json;
using Dispatch.Matching;

namespace Dispatch.Storage.Rows;

/// <summary>
/// Gives equal texts of many rows one string, and equal requirements one instance: a million waiting tasks name a few hundred
/// requesters and skills. Used by one thread at a time.
/// </summary>
internal sealed class RowTexts
{
    // Then everything is forgotten and built anew: what is seen once must not be kept for ever.
    private const int Limit = 50_000;
    private const int LongestKept = 256;

    private readonly Dictionary<byte[], string> texts = new(Utf8Comparer.Instance);
    private readonly Dictionary<byte[], Requirement> requirements = new(Utf8Comparer.Instance);
    private readonly Dictionary<byte[], string>.AlternateLookup<ReadOnlySpan<byte>> textOf;
    private readonly Dictionary<byte[], Requirement>.AlternateLookup<ReadOnlySpan<byte>> requirementOf;
    private RequirementPool pool = new();

    internal RowTexts()
    {
        textOf = texts.GetAlternateLookup<ReadOnlySpan<byte>>();
        requirementOf = requirements.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    internal string Get(ReadOnlySpan<byte> utf8)
    {
        if (textOf.TryGetValue(utf8, out var known))
            return known;

        var text = Encoding.UTF8.GetString(utf8);
        if (utf8.Length > LongestKept)
            return text;
        if (texts.Count >= Limit)
            texts.Clear();
        textOf[utf8] = text;
        return text;
    }

    /// <param name="required">A JSON array of strings, or nothing.</param>
    /// <param name="preferred">A JSON array of strings, or nothing.</param>
    /// <param name="owner">Nothing for anyone's.</param>
    internal Requirement GetRequirement(ReadOnlySpan<byte> required, ReadOnlySpan<byte> preferred, ReadOnlySpan<byte> owner)
    {
        if (required.IsEmpty && preferred.IsEmpty && owner.IsEmpty)
            return Requirement.Anyone;

        // A zero byte ends each part: none of them can hold one.
        var length = required.Length + preferred.Length + owner.Length + 2;
        Span<byte> key = length <= 512 ? stackalloc byte[length] : new byte[length];
        required.CopyTo(key);
        key[required.Length] = 0;
        preferred.CopyTo(key[(required.Length + 1)..]);
        key[required.Length + 1 + preferred.Length] = 0;
        owner.CopyTo(key[(required.Length + preferred.Length + 2)..]);
        if (requirementOf.TryGetValue(key, out var known))
            return known;

        if (requirements.Count >= Limit)
        {
            requirements.Clear();
            pool = new RequirementPool();
        }

        var requirement = pool.Get(Strings(required), Strings(preferred), owner.IsEmpty ? null : Get(owner));
        requirementOf[key] = requirement;
        return requirement;
    }

    internal static string[] Strings(ReadOnlySpan<byte> json) =>
        json.IsEmpty ? [] : JsonSerializer.Deserialize(json, RowJson.Default.StringArray)!;

    private sealed class Utf8Comparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        internal static readonly Utf8Comparer Instance = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode([DisallowNull] byte[] obj) => GetHashCode(obj.AsSpan());

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            var hash = default(HashCode);
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }
    }
}
