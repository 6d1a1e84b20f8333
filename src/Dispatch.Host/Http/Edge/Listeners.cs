using System.Net;
using Dispatch.Host.Configuration;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Dispatch.Host.Http.Edge;

/// <summary>How Kestrel listens, and what it takes from a peer before any of our code runs.</summary>
public static class Listeners
{
    // Probes and one or two scrapers.
    private const int OperationsConnections = 100;

    /// <summary>Listens for the API: HTTP/1.1 on server.bind and server.port, at most server.max_connections.</summary>
    public static void ListenForApi(this KestrelServerOptions kestrel, DispatchConfig config)
    {
        Limit(kestrel, config);
        kestrel.Listen(Endpoint(config, config.Server.Port), listen => Listen(listen, config.Server.MaxConnections));
    }

    /// <summary>
    /// Listens for /health, /ready and /metrics on server.metrics_port. Its connections are counted on their own: a crowd at
    /// the API must not make the broker look dead.
    /// </summary>
    public static void ListenForOperations(this KestrelServerOptions kestrel, DispatchConfig config)
    {
        Limit(kestrel, config);
        kestrel.Listen(Endpoint(config, config.Server.MetricsPort), listen => Listen(listen, OperationsConnections));
    }

    /// <summary>The largest body goes by the settings in force: Kestrel looks at its limit as each request begins.</summary>
    internal static void FollowLimits(this IServiceProvider services, LiveConfig config)
    {
        var limits = services.GetRequiredService<IOptions<KestrelServerOptions>>().Value.Limits;
        config.Changed += now => limits.MaxRequestBodySize = now.Limits.BodyBytes;
    }

    private static IPEndPoint Endpoint(DispatchConfig config, int port) => new(config.Server.BindAddress, port);

    private static void Limit(KestrelServerOptions kestrel, DispatchConfig config)
    {
        kestrel.AddServerHeader = false;
        kestrel.AllowSynchronousIO = false;

        KestrelServerLimits limits = kestrel.Limits;
        limits.MaxRequestBodySize = config.Limits.BodyBytes;
        limits.MaxRequestLineSize = 8 * 1024;
        limits.MaxRequestHeadersTotalSize = 16 * 1024;
        limits.MaxRequestHeaderCount = 64;
        limits.RequestHeadersTimeout = TimeSpan.FromSeconds(5);
        limits.KeepAliveTimeout = TimeSpan.FromSeconds(130);
        limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 1024, gracePeriod: TimeSpan.FromSeconds(5));
        limits.MinResponseDataRate = new MinDataRate(bytesPerSecond: 1024, gracePeriod: TimeSpan.FromSeconds(5));
    }

    private static void Listen(ListenOptions listen, int most)
    {
        listen.Protocols = HttpProtocols.Http1;
        int open = 0;
        listen.Use(next => async connection =>
        {
            if (Interlocked.Increment(ref open) > most)
            {
                Interlocked.Decrement(ref open);
                connection.Abort(new ConnectionAbortedException("Too many connections."));
                return;
            }

            try
            {
                await next(connection);
            }
            finally
            {
                Interlocked.Decrement(ref open);
            }
        });
    }
}
