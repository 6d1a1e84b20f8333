using System.Buffers.Text;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Dispatch.Host.Auth;

/// <summary>SHA-256 of a token's secret. A secret has 256 bits of its own, so a fast hash without salt is the right one.</summary>
public readonly struct TokenHash : IEquatable<TokenHash>
{
    private readonly Bytes32 bytes;

    private TokenHash(Bytes32 bytes) => this.bytes = bytes;

    /// <summary>Hashes a secret.</summary>
    public static TokenHash Of(ReadOnlySpan<char> secret)
    {
        Span<byte> utf8 = stackalloc byte[Encoding.UTF8.GetMaxByteCount(Math.Min(secret.Length, TokenText.MaxLength))];
        Bytes32 hash = default;
        int length = Encoding.UTF8.GetBytes(secret[..Math.Min(secret.Length, TokenText.MaxLength)], utf8);
        SHA256.HashData(utf8[..length], hash);
        return new TokenHash(hash);
    }

    /// <summary>Reads 64 hexadecimal digits.</summary>
    /// <exception cref="FormatException">The text is something else.</exception>
    public static TokenHash Parse(string hexadecimal)
    {
        Bytes32 hash = default;
        Convert.FromHexString(hexadecimal, hash, out _, out int written);
        return written == 32 ? new TokenHash(hash) : throw new FormatException("A token's hash has 64 hexadecimal digits.");
    }

    /// <summary>Whether two hashes are the same, in a time that does not tell how much of them is.</summary>
    public bool IsSame(in TokenHash other) => CryptographicOperations.FixedTimeEquals(bytes, other.bytes);

    /// <inheritdoc/>
    public bool Equals(TokenHash other) => IsSame(other);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is TokenHash other && IsSame(other);

    /// <inheritdoc/>
    public override int GetHashCode() => MemoryMarshal.Read<int>(bytes);

    /// <summary>Lower-case hexadecimal.</summary>
    public override string ToString() => Convert.ToHexStringLower(bytes);

    [InlineArray(32)]
    private struct Bytes32
    {
        private byte first;
    }
}

/// <summary>The secrets themselves: a prefix that secret scanners can find, and 256 random bits.</summary>
public static class TokenText
{
    /// <summary>Longest secret that is looked at, in characters.</summary>
    public const int MaxLength = 512;

    private const string AgentPrefix = "dsp_";
    private const string AdminPrefix = "dsa_";
    private const string GuestPrefix = "dsg_";

    /// <summary>A new secret for an agent. It is shown once; what is kept is its <see cref="TokenHash"/>.</summary>
    public static string MakeForAgent() => AgentPrefix + Random256();

    /// <summary>A new secret for the administrator.</summary>
    public static string MakeForAdmin() => AdminPrefix + Random256();

    /// <summary>A new secret for the guests of a session.</summary>
    public static string MakeForGuests() => GuestPrefix + Random256();

    /// <summary>Whether the secret looks like a guest's, so that no agent's name is expected with it.</summary>
    public static bool IsForGuests(ReadOnlySpan<char> secret) => secret.StartsWith(GuestPrefix, StringComparison.Ordinal);

    private static string Random256()
    {
        Span<byte> random = stackalloc byte[32];
        RandomNumberGenerator.Fill(random);
        return Base64Url.EncodeToString(random);
    }
}
