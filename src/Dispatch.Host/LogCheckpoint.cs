using System.Security.Cryptography;
using System.Text;

namespace Dispatch.Host;

/// <summary>
/// A signed statement that the log had a certain last event at a time. Kept somewhere else, it tells later whether the log was cut or written anew,
/// which the chain alone can't: whoever can write the file can make a new chain.
/// </summary>
/// <param name="Sequence">The event.</param>
/// <param name="Hash">Its hash, 64 hexadecimal digits.</param>
/// <param name="Time">When it was signed.</param>
/// <param name="Key">The public key, SubjectPublicKeyInfo in base64 (ECDSA, P-256).</param>
/// <param name="Signature">Over <see cref="Signed"/>, base64 (IEEE P1363, SHA-256).</param>
public sealed record LogCheckpoint(long Sequence, string Hash, DateTimeOffset Time, string Key, string Signature)
{
    private const string KeyFile = "audit-key.pem";

    /// <summary>The text that is signed.</summary>
    public string Signed => FormattableString.Invariant($"dispatch-log-checkpoint\n{Sequence}\n{Hash}\n{Time.ToUnixTimeMilliseconds()}\n");

    /// <summary>Signs with the data directory's key, which is made when there is none.</summary>
    /// <exception cref="BrokerStartException">The key can't be read or made.</exception>
    public static LogCheckpoint Sign(string dataDirectory, long sequence, string hash, DateTimeOffset time)
    {
        using var key = OpenKey(Path.Combine(dataDirectory, KeyFile));
        var plain = new LogCheckpoint(sequence, hash, DateTimeOffset.FromUnixTimeMilliseconds(time.ToUnixTimeMilliseconds()), Convert.ToBase64String(key.ExportSubjectPublicKeyInfo()), "");
        return plain with { Signature = Convert.ToBase64String(key.SignData(Encoding.UTF8.GetBytes(plain.Signed), HashAlgorithmName.SHA256)) };
    }

    /// <summary>Why the signature does not hold; null when it does.</summary>
    /// <param name="expectedKey">The key that it must be signed with; null: the one it names.</param>
    public string? FaultOfSignature(string? expectedKey)
    {
        if (expectedKey is not null && expectedKey != Key)
            return "it is signed with another key";
        try
        {
            using var key = ECDsa.Create();
            key.ImportSubjectPublicKeyInfo(Convert.FromBase64String(Key), out _);
            return key.VerifyData(Encoding.UTF8.GetBytes(Signed), Convert.FromBase64String(Signature), HashAlgorithmName.SHA256) ? null : "its signature does not fit what it says";
        }
        catch (Exception e) when (e is FormatException or CryptographicException)
        {
            return $"its key or signature can't be read: {e.Message}";
        }
    }

    private static ECDsa OpenKey(string path)
    {
        try
        {
            var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            if (File.Exists(path))
            {
                key.ImportFromPem(File.ReadAllText(path));
                return key;
            }

            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            using var stream = new FileStream(path, options);
            stream.Write(Encoding.ASCII.GetBytes(key.ExportPkcs8PrivateKeyPem() + "\n"));
            stream.Flush(flushToDisk: true);
            return key;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or CryptographicException)
        {
            throw new BrokerStartException($"The key that signs checkpoints can't be kept in {path}: {e.Message}", "Give the directory of a broker with --data-dir, as a user who may write there.", e);
        }
    }
}
