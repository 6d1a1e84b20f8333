using System.Net;
using System.Text;

namespace Dispatch.Bench.Load;

/// <summary>A server under load: where it listens.</summary>
/// <param name="Endpoint">Address and port of its API.</param>
internal sealed record Target(IPEndPoint Endpoint)
{
    public Uri Url => new($"http://{Endpoint}");

    public static Target At(string url)
    {
        var address = new Uri(url);
        return new Target(new IPEndPoint(address.IsLoopback ? IPAddress.Loopback : IPAddress.Parse(address.Host), address.Port));
    }

    /// <summary>The head of a POST by <paramref name="caller"/>, up to and without the value of Content-Length.</summary>
    public byte[] PostHead(string path, string caller) => Encoding.ASCII.GetBytes(
        $"POST {path} HTTP/1.1\r\nHost: {Endpoint}\r\nX-Agent-ID: {caller}\r\nContent-Type: application/json\r\nContent-Length: ");
}
