using System.Buffers;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Unicode;
using Dispatch.Host.Http.Problems;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Dispatch.Host.Http;

/// <summary>A request's JSON body. Dispose it when everything has been taken out: its memory belongs to the connection.</summary>
internal readonly struct JsonBody : IDisposable
{
    public const int MaxDepth = 32;

    // What the framing of chunks may add to a body: one byte in a chunk takes six.
    private const int ChunkOverhead = 8;

    // A member named twice is refused: two readers could take different ones.
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = MaxDepth, AllowDuplicateProperties = false };

    private const string HalfPair = "A text holds an escape that is half of a surrogate pair.";

    private readonly JsonDocument? document;
    private readonly HttpContext http;
    private readonly ReadOnlySequence<byte> bytes;
    private readonly byte[]? rented;

    private JsonBody(HttpContext http, ReadOnlySequence<byte> bytes, JsonDocument? document, byte[]? rented = null)
    {
        this.rented = rented;
        this.http = http;
        this.bytes = bytes;
        this.document = document;
    }

    /// <summary>False for an empty body.</summary>
    public bool HasRoot => document is not null;

    public JsonElement Root => document!.RootElement;

    /// <summary>Reads and checks the whole body.</summary>
    /// <exception cref="ProblemException">It is no JSON, of another type, too deep, not UTF-8, or names a member twice.</exception>
    public static async ValueTask<JsonBody> ReadAsync(HttpContext http)
    {
        var type = http.Request.ContentType;
        if (type is not null && !IsJson(type))
            throw new ProblemException(new Problem(ErrorCode.UnsupportedMediaType, $"The body's type is {type}; send it as application/json."));

        var most = http.Request.ContentLength is null ? LimitUnframed(http) : long.MaxValue;
        var reader = http.Request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(http.RequestAborted);
            if (read.Buffer.Length > most)
            {
                reader.AdvanceTo(read.Buffer.End);
                throw new ProblemException(new Problem(ErrorCode.PayloadTooLarge, $"The body is larger than {most} bytes."));
            }

            if (read.IsCompleted)
                return Parse(http, read.Buffer);
            reader.AdvanceTo(read.Buffer.Start, read.Buffer.End);
        }
    }

    /// <summary>Reads past a body that says nothing: empty, or an empty object.</summary>
    /// <exception cref="ProblemException">It says something.</exception>
    public static async Task IgnoreAsync(HttpContext http)
    {
        using var body = await ReadAsync(http);
        if (body.HasRoot && (body.Root.ValueKind != JsonValueKind.Object || body.Root.EnumerateObject().Any()))
            throw Refuse("The body must be empty.");
    }

    /// <summary>The refusal of a body as a whole.</summary>
    public static ProblemException Refuse(string detail) => new(new Problem(ErrorCode.Validation, detail) { Errors = [new FieldFault("body", detail)] });

    public void Dispose()
    {
        document?.Dispose();
        if (rented is not null)
            ArrayPool<byte>.Shared.Return(rented);
        http.Request.BodyReader.AdvanceTo(bytes.End);
    }

    /// <summary>Has the server count a chunked body with its framing generously, and returns the limit for what is in the chunks.</summary>
    private static long LimitUnframed(HttpContext http)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is not { IsReadOnly: false, MaxRequestBodySize: { } limit } feature)
            return long.MaxValue;
        feature.MaxRequestBodySize = limit * ChunkOverhead;
        return limit;
    }

    private static bool IsJson(string type)
    {
        var end = type.IndexOf(';');
        var media = (end < 0 ? type.AsSpan() : type.AsSpan(0, end)).Trim();
        return media.Equals("application/json", StringComparison.OrdinalIgnoreCase) || media.EndsWith("+json", StringComparison.OrdinalIgnoreCase);
    }

    private static JsonBody Parse(HttpContext http, ReadOnlySequence<byte> bytes)
    {
        if (bytes.IsEmpty)
            return new JsonBody(http, bytes, null);

        byte[]? rented = null;
        var memory = bytes.First;
        if (!bytes.IsSingleSegment)
        {
            rented = ArrayPool<byte>.Shared.Rent((int)bytes.Length);
            bytes.CopyTo(rented);
            memory = rented.AsMemory(0, (int)bytes.Length);
        }

        // Not given back when the body is refused: the refusal may still look at it, and is rare.
        try
        {
            if (!Utf8.IsValid(memory.Span))
                throw Refuse("The body is not valid UTF-8.");
            var document = JsonDocument.Parse(memory, Options);
            if (memory.Span.IndexOf("\\u"u8) >= 0)
                CheckEscapes(document.RootElement);
            return new JsonBody(http, bytes, document, rented);
        }
        catch (JsonException e)
        {
            http.Request.BodyReader.AdvanceTo(bytes.End);
            throw Refuse($"The body is not valid JSON: {Tidy(e)}");
        }
        catch (InvalidOperationException)
        {
            // The parser compares names with escapes, to find one that stands twice, and can't read half of a pair either.
            http.Request.BodyReader.AdvanceTo(bytes.End);
            throw Refuse(HalfPair);
        }
        catch (ProblemException)
        {
            http.Request.BodyReader.AdvanceTo(bytes.End);
            throw;
        }
    }

    // Half a surrogate pair can be written as an escape; nobody could read such a text back.
    private static void CheckEscapes(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (var member in element.EnumerateObject())
                {
                    CheckText(JsonMarshal.GetRawUtf8PropertyName(member), () => member.Name);
                    CheckEscapes(member.Value);
                }

                break;
            case JsonValueKind.Array:
                foreach (var item in element.EnumerateArray())
                    CheckEscapes(item);
                break;
            case JsonValueKind.String:
                CheckText(JsonMarshal.GetRawUtf8Value(element), element.GetString);
                break;
        }
    }

    private static void CheckText(ReadOnlySpan<byte> raw, Func<string?> read)
    {
        if (raw.IndexOf((byte)'\\') < 0)
            return;
        try
        {
            _ = read();
        }
        catch (InvalidOperationException)
        {
            throw Refuse(HalfPair);
        }
    }

    // The parser's message ends with a path and a position that are told better by themselves.
    private static string Tidy(JsonException e)
    {
        var end = e.Message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        var text = end < 0 ? e.Message : e.Message[..end];
        return $"{Excerpt.Of(text, 300)} (line {(e.LineNumber ?? 0) + 1}, byte {(e.BytePositionInLine ?? 0) + 1})";
    }
}

/// <summary>Ends the request with a problem.</summary>
internal sealed class ProblemException(Problem problem) : Exception(problem.Detail)
{
    public Problem Problem { get; } = problem;
}
