using System.Net;
using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;

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
}
