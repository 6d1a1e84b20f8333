using System.Buffers;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Dispatch.Host.Http.Edge;

/// <summary>
/// Gives each request an id, kept in <see cref="HttpContext.TraceIdentifier"/> and told in the answer: the caller's, when it sent
/// one of 1 to 128 printable ASCII characters, else one of ours.
/// </summary>
public sealed class RequestIds(RequestDelegate next)
{
    /// <summary>Name of the header, both ways.</summary>
    public const string Header = "X-Request-ID";

    private const int LongestAccepted = 128;
    private const int MadeLength = 20;

    private static readonly SearchValues<char> Printable =
        SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(c => (char)c)]);

    // A number that no other process starts from, counted up: unique without a random source per request.
    private readonly string prefix = RandomNumberGenerator.GetHexString(8, lowercase: true);
    private long last;

    /// <summary>The step.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        StringValues given = context.Request.Headers[Header];
        string id = given.Count == 1 && IsSane(given[0]) ? given[0]! : Make();
        context.TraceIdentifier = id;
        context.Response.Headers[Header] = id;
        return next(context);
    }

    private static bool IsSane(string? id) =>
        id is { Length: > 0 and <= LongestAccepted } && !id.AsSpan().ContainsAnyExcept(Printable);

    private string Make() => string.Create(MadeLength, (prefix, Number: Interlocked.Increment(ref last)), static (text, state) =>
    {
        state.prefix.CopyTo(text);
        text[8] = '-';
        state.Number.TryFormat(text[9..], out _, "x11");
    });
}

/// <summary>Composition.</summary>
public static class RequestIdsComposition
{
    /// <summary>Gives each request an id. Place it first.</summary>
    public static IApplicationBuilder UseRequestIds(this IApplicationBuilder app) => app.UseMiddleware<RequestIds>();
}
