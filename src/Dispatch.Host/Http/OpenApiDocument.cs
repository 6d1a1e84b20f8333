using System.Reflection;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>The contract, docs/openapi.json, as it was when this program was built.</summary>
internal static class OpenApiDocument
{
    private static readonly byte[] Document = Read();

    public static Task WriteAsync(HttpContext http)
    {
        http.Response.ContentType = "application/json";
        http.Response.ContentLength = Document.Length;
        return HttpMethods.IsHead(http.Request.Method) ? Task.CompletedTask : http.Response.Body.WriteAsync(Document, http.RequestAborted).AsTask();
    }

    private static byte[] Read()
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("openapi.json")
            ?? throw new InvalidOperationException("openapi.json is not in the assembly.");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
