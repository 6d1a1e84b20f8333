using System.Reflection;
using Dispatch.Host;
using Dispatch.Host.Configuration;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Xunit;

namespace Dispatch.Architecture.Tests;

/// <summary>The broker as it ships, on free ports and a data directory of its own: what is written about it is compared with it.</summary>
public sealed class RunningBroker : IAsyncLifetime
{
    private readonly string directory = Directory.CreateTempSubdirectory("dispatch-architecture-").FullName;
    private Broker? broker;

    /// <summary>Where /health, /ready and /metrics are.</summary>
    public Uri OperationsUrl => broker!.OperationsUrl;

    /// <summary>What the API's listener routes, as <c>get /api/v1/tasks</c>. HEAD goes with GET.</summary>
    public IEnumerable<string> Routes =>
        from source in ((IEndpointRouteBuilder)Application).DataSources
        from endpoint in source.Endpoints.OfType<RouteEndpoint>()
        from method in endpoint.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods
        where method != HttpMethods.Head
        select $"{method.ToLowerInvariant()} {endpoint.RoutePattern.RawText}";

    // The application is nobody else's business, so the broker does not show it.
    private WebApplication Application => typeof(Broker)
        .GetFields(BindingFlags.NonPublic | BindingFlags.Instance)
        .Select(member => member.GetValue(broker)).OfType<WebApplication>().Single();

    public async Task InitializeAsync()
    {
        var config = new DispatchConfig
        {
            Server = new ServerSettings { Port = 0, MetricsPort = 0 },
            Database = new DatabaseSettings { Url = $"sqlite://{directory}/dispatch.db" },
        };
        broker = await Broker.StartAsync(config, TimeProvider.System, CancellationToken.None, Stream.Null);
    }

    public async Task DisposeAsync()
    {
        await broker!.DisposeAsync();
        Directory.Delete(directory, recursive: true);
    }
}
