using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Dispatch.Host;
using Dispatch.Host.Configuration;
using Microsoft.Extensions.Logging;

namespace Dispatch.Api.Tests.Running;

public sealed class AddressTests
{
    [Theory]
    [InlineData("0.0.0.0", "127.0.0.1")]
    [InlineData("::", "[::1]")]
    public async Task Bound_to_every_address_it_names_one_that_this_machine_reaches(string bind, string host)
    {
        using var directory = new TemporaryDirectory();
        await using var broker = await TestBroker.StartAsync(
            config => config with { Server = config.Server with { Bind = bind }, Auth = new AuthSettings { Mode = AuthMode.Token } }, directory.Path);

        var told = JsonElement.Parse(await File.ReadAllTextAsync(Path.Combine(directory.Path, "broker.json")));

        Assert.Equal([host, host], new[] { "url", "metrics_url" }.Select(name => new Uri(told.Text(name)).Host));
        (await broker.Admin.GetAsync("/api/v1/stats")).Expect(200);
        using var http = new HttpClient();
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(told.Text("metrics_url") + "/ready")).StatusCode);
    }

    [Theory]
    [InlineData(true, "--port")]
    [InlineData(false, "--metrics-port")]
    public async Task A_port_in_use_is_named_and_no_stack_is_logged(bool api, string flag)
    {
        using var directory = new TemporaryDirectory();
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var taken = ((IPEndPoint)other.LocalEndpoint).Port;
        var config = new DispatchConfig
        {
            Server = new ServerSettings { Port = api ? taken : 0, MetricsPort = api ? 0 : taken },
            Database = new DatabaseSettings { Url = $"sqlite://{directory.Path}/dispatch.db" },
            Logging = new LoggingSettings { Level = LogLevel.Debug },
        };
        using var log = new MemoryStream();

        var refusal = await Assert.ThrowsAsync<BrokerStartException>(() => Broker.StartAsync(config, TimeProvider.System, CancellationToken.None, log));

        Assert.Equal($"Port {taken} on 127.0.0.1 is in use.", refusal.Message);
        Assert.EndsWith($"with {flag}.", refusal.Next, StringComparison.Ordinal);
        Assert.DoesNotContain("AddressInUse", System.Text.Encoding.UTF8.GetString(log.ToArray()), StringComparison.Ordinal);
    }
}
