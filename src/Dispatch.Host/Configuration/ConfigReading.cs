using System.Security.Cryptography;

namespace Dispatch.Host.Configuration;

/// <summary>The configuration file as it was at one moment. Two readings are equal when they found the same.</summary>
/// <param name="Finding">The hash of the content, or what was wrong.</param>
internal sealed record ConfigReading(string Finding)
{
    private ReadOnlyMemory<byte> content;

    /// <summary>Null when there is something to load; else why there is nothing, behind "FILE ".</summary>
    public string? Problem { get; private init; }

    /// <summary>What the file holds.</summary>
    public ReadOnlyMemory<byte> Content => content;

    /// <summary>
    /// Reads it, always to the end: a time stamp would miss a change within its grain and see one in a touch, and says of a link
    /// nothing about what is behind it.
    /// </summary>
    public static async Task<ConfigReading> TakeAsync(string file, CancellationToken cancel)
    {
        try
        {
            await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);

            // One byte too many is enough for the loader to say so.
            byte[] bytes = new byte[(int)Math.Min(stream.Length, ConfigFile.Largest + 1)];
            int length = await stream.ReadAtLeastAsync(bytes, bytes.Length, throwOnEndOfStream: false, cancel);
            return length == 0
                // An editor's first step, or a full disk's last; whoever means the defaults can say so in a comment.
                ? Without("is empty")
                : new ConfigReading(Convert.ToHexStringLower(SHA256.HashData(bytes.AsSpan(0, length)))) { content = bytes.AsMemory(0, length) };
        }
        catch (Exception failure) when (failure is FileNotFoundException or DirectoryNotFoundException)
        {
            return Without("is not there");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return Without($"can't be read: {failure.Message}");
        }
    }

    /// <summary>The file once it is the same before and after the pause: until then somebody is writing it.</summary>
    public async Task<ConfigReading> SettleAsync(string file, Func<Task> pause, CancellationToken cancel)
    {
        var before = this;
        while (true)
        {
            await pause();
            var after = await TakeAsync(file, cancel);
            if (after == before)
                return after;
            before = after;
        }
    }

    public bool Equals(ConfigReading? other) => other is not null && string.Equals(Finding, other.Finding, StringComparison.Ordinal);

    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Finding);

    private static ConfigReading Without(string problem) => new(problem) { Problem = problem };
}
