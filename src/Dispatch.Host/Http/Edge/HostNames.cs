using System.Net;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http.Problems;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace Dispatch.Host.Http.Edge;

/// <summary>
/// Refuses requests that name a host which isn't ours. A page in a browser on this machine can have its own name resolve to
/// 127.0.0.1 and would then be let in like any local program (DNS rebinding); it can't choose what Host the browser sends.
/// </summary>
public sealed class HostNames
{
    private readonly RequestDelegate next;
    private readonly HashSet<string> allowed;

    // Clients name the same host with each request: equal to the last one is the usual case and costs a comparison.
    private string? lastAllowed;

    /// <param name="server">Its bind address and allowed hosts.</param>
    /// <param name="next">The step below.</param>
    public HostNames(RequestDelegate next, ServerSettings server)
    {
        this.next = next;
        allowed = new HashSet<string>(StringComparer.OrdinalIgnoreCase) { "localhost", "127.0.0.1", "[::1]", Literal(server.BindAddress) };
        foreach (string host in server.AllowedHosts)
            allowed.Add(IPAddress.TryParse(host.Trim('[', ']'), out IPAddress? address) ? Literal(address) : host);
    }

    /// <summary>The step.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        StringValues header = context.Request.Headers.Host;
        string? host = header.Count == 1 ? header[0] : null;
        if (host is not null && host == lastAllowed)
            return next(context);

        // HTTP/1.0 without a host: Kestrel asks for one in HTTP/1.1, and no browser leaves it out.
        if (string.IsNullOrEmpty(host) || IsAllowed(host))
        {
            lastAllowed = host;
            return next(context);
        }

        return context.WriteProblemAsync(new Problem(
            ErrorCode.MisdirectedRequest, "The Host header names a host that is not allowed; server.allowed_hosts adds names."));
    }

    private bool IsAllowed(string host)
    {
        // The port may be anything: a tunnel or a container may map another one to ours.
        int port = host.LastIndexOf(':');
        if (port > host.LastIndexOf(']'))
            host = host[..port];
        return allowed.Contains(host);
    }

    private static string Literal(IPAddress address) =>
        address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 ? $"[{address}]" : address.ToString();
}

/// <summary>Composition.</summary>
public static class HostNamesComposition
{
    /// <summary>
    /// Refuses foreign host names with 421. Does nothing when bound beyond loopback with no server.allowed_hosts: by which names
    /// others know this machine is then unknown.
    /// </summary>
    public static IApplicationBuilder UseHostNames(this IApplicationBuilder app, ServerSettings server) =>
        server.IsLoopback || server.AllowedHosts.Count > 0
            ? app.Use(next => new HostNames(next, server).InvokeAsync)
            : app;
}
