using System.Buffers;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Sequencing;

namespace Dispatch.Retention;

/// <summary>
/// A base as bytes: its rows as JSON values one after another, cut into parts at the end of a row, each compressed (gzip) for itself.
/// Written and read part by part: a store may hold a million tasks.
/// </summary>
public static class BaseFormat
{
    // About a mebibyte when compressed.
    private const int PartBytes = 4 << 20;

    /// <summary>Writes the state of the store as of the moment of the look.</summary>
    /// <param name="save">Takes the parts, in order.</param>
    /// <returns>What was written, but for <see cref="LogBase.Bytes"/>.</returns>
    /// <exception cref="StoreException">A row can't be read.</exception>
    public static async Task<LogBase> WriteAsync(IStoreAudit store, Func<byte[], Task> save, CancellationToken cancel)
    {
        var loaded = await store.LoadAsync(cancel);
        var part = new ArrayBufferWriter<byte>(64 << 10);
        using var json = new Utf8JsonWriter(part, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var (rows, parts) = (0L, 0);
        await foreach (var row in RowsAsync(store, loaded, cancel))
        {
            Add(row);
            rows++;
            if (part.WrittenCount >= PartBytes)
                await CutAsync();
        }

        Add(new BaseRow { End = new BaseEnd(rows) });
        await CutAsync();
        return new LogBase(loaded.Sequence, loaded.Timestamp, 0, parts, Convert.ToHexStringLower(hash.GetHashAndReset()));

        void Add(BaseRow row)
        {
            json.Reset();
            JsonSerializer.Serialize(json, row, BaseJson.Default.BaseRow);
            json.Flush();
            part.Write("\n"u8);
        }

        async Task CutAsync()
        {
            var packed = Pack(part.WrittenSpan);
            part.ResetWrittenCount();
            hash.AppendData(packed);
            parts++;
            await save(packed);
        }
    }

    /// <summary>Reads the rows back; the last one is the end, with the digest of all parts. A part of another base or a missing one is not hidden by it.</summary>
    /// <exception cref="StoreException">It can't be read.</exception>
    public static async IAsyncEnumerable<BaseRow> ReadAsync(IAsyncEnumerable<byte[]> parts, [EnumeratorCancellation] CancellationToken cancel)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        BaseEnd? end = null;
        var rows = 0L;
        await foreach (var part in parts.WithCancellation(cancel))
        {
            hash.AppendData(part);
            foreach (var row in Unpack(part))
            {
                if (end is not null)
                    throw new StoreException(StoreFault.Corrupt, "The base of the log goes on behind its end.");
                if (row.End is not null)
                    end = row.End;
                else if (++rows > 0)
                    yield return row;
            }
        }

        if (end is null || end.Rows != rows)
            throw new StoreException(StoreFault.Corrupt, $"The base of the log has {rows} rows where there should be {end?.Rows.ToString() ?? "more"}.");
        yield return new BaseRow { End = end with { Digest = Convert.ToHexStringLower(hash.GetHashAndReset()) } };
    }

    private static async IAsyncEnumerable<BaseRow> RowsAsync(IStoreAudit store, LoadedState loaded, [EnumeratorCancellation] CancellationToken cancel)
    {
        yield return new BaseRow { Start = new BaseStart(loaded.Sequence, loaded.Timestamp, loaded.Hash, loaded.Horizon, [.. loaded.Totals]) };
        foreach (var agent in loaded.Agents)
            yield return new BaseRow { Agent = agent };
        foreach (var token in loaded.Tokens)
            yield return new BaseRow { Token = token };
        foreach (var session in loaded.Sessions)
            yield return new BaseRow { Session = session };
        foreach (var publisher in loaded.Publishers)
            yield return new BaseRow { Publisher = publisher };
        foreach (var webhook in loaded.Webhooks)
            yield return new BaseRow { Webhook = webhook };
        foreach (var question in loaded.Questions)
            yield return new BaseRow { Question = question };
        foreach (var responder in loaded.Responders)
            yield return new BaseRow { Responder = responder };
        foreach (var limit in loaded.Limits)
            yield return new BaseRow { Limit = limit };
        foreach (var balance in loaded.Balances)
            yield return new BaseRow { Balance = balance };
        await foreach (var task in store.TasksAsync(cancel))
            yield return new BaseRow { Task = task };
        await foreach (var attempt in store.AttemptsAsync(cancel))
            yield return new BaseRow { Attempt = attempt };
        await foreach (var key in store.KeysAsync(cancel))
            yield return new BaseRow { Key = key };
    }

    internal static byte[] Pack(ReadOnlySpan<byte> rows)
    {
        using var packed = new MemoryStream();
        using (var zip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
            zip.Write(rows);
        return packed.ToArray();
    }

    internal static IReadOnlyList<BaseRow> Unpack(byte[] part)
    {
        try
        {
            using var plain = new MemoryStream();
            using (var zip = new GZipStream(new MemoryStream(part), CompressionMode.Decompress))
                zip.CopyTo(plain);
            var reader = new Utf8JsonReader(plain.GetBuffer().AsSpan(0, (int)plain.Length), new JsonReaderOptions { AllowMultipleValues = true, MaxDepth = BaseJson.MaxDepth });
            var rows = new List<BaseRow>();
            while (reader.Read())
            {
                var row = JsonSerializer.Deserialize(ref reader, BaseJson.Default.BaseRow);
                if (row is null or { Task: { Task: null } or { Spec: null } } or { Start.Hash.Length: not HashChain.Size } or { Start.Totals.Length: not 9 })
                    throw new JsonException("A row lacks what it must have.");
                rows.Add(row);
            }

            return rows;
        }
        catch (Exception unreadable) when (unreadable is JsonException or InvalidDataException or FormatException)
        {
            throw new StoreException(StoreFault.Corrupt, $"The base of the log can't be read: {unreadable.Message}", unreadable);
        }
    }
}

// What callers give may be nested as deep as JSON is read by default, and lies some levels deeper here.
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, IgnoreReadOnlyProperties = true,
    MaxDepth = MaxDepth, Converters = [typeof(RequirementConverter)])]
[JsonSerializable(typeof(BaseRow))]
internal sealed partial class BaseJson : JsonSerializerContext
{
    internal const int MaxDepth = 256;
}

internal sealed class RequirementConverter : JsonConverter<Requirement>
{
    public override Requirement Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        var needs = JsonSerializer.Deserialize(ref reader, NeedsJson.Default.Needs);
        return new Requirement(needs.Required ?? [], needs.Preferred ?? [], needs.Owner);
    }

    public override void Write(Utf8JsonWriter writer, Requirement value, JsonSerializerOptions options) =>
        JsonSerializer.Serialize(writer, new Needs(value.Required, value.Preferred, value.Owner), NeedsJson.Default.Needs);
}

internal readonly record struct Needs(string[]? Required, string[]? Preferred, string? Owner);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Needs))]
internal sealed partial class NeedsJson : JsonSerializerContext;
