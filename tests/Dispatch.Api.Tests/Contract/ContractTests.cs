using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Api.Tests.Contract;

public sealed class ContractTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    // Served by the other port, which has no routing table.
    private static readonly string[] OperationsPort = ["GET /health", "GET /ready", "GET /metrics"];

    private readonly TestBroker broker = shared.Broker;

    [Fact]
    public async Task The_contract_that_is_served_is_the_approved_one()
    {
        using var http = new HttpClient { BaseAddress = broker.Url };

        Assert.Equal(ApprovedContract.Bytes, await http.GetByteArrayAsync("/openapi/v1.json"));
    }

    [Fact]
    public void Every_route_is_in_the_contract_and_the_contract_has_no_other()
    {
        var mapped =
            from endpoint in broker.Broker.Endpoints.OfType<RouteEndpoint>()
            from method in endpoint.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods
            where method != "HEAD"
            select $"{method} {endpoint.RoutePattern.RawText}";

        Assert.Equal(ApprovedContract.Operations.Order(StringComparer.Ordinal), mapped.Concat(OperationsPort).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_parameters_of_a_route_are_those_of_the_contract()
    {
        var schema = new JsonSchema(ApprovedContract.Document);
        foreach (var endpoint in broker.Broker.Endpoints.OfType<RouteEndpoint>().Where(endpoint => endpoint.RoutePattern.RawText!.StartsWith("/api/", StringComparison.Ordinal)))
        {
            foreach (var method in endpoint.Metadata.GetMetadata<HttpMethodMetadata>()!.HttpMethods.Where(method => method != "HEAD"))
            {
                var operation = ApprovedContract.Document.GetProperty("paths").GetProperty(endpoint.RoutePattern.RawText!).GetProperty(method.ToLowerInvariant());
                var documented = operation.TryGetProperty("parameters", out var parameters)
                    ? parameters.EnumerateArray().Select(schema.Resolve).Where(parameter => parameter.Text("in") == "query").Select(parameter => parameter.Text("name"))
                    : [];

                Assert.Equal(documented.Order(StringComparer.Ordinal), Host.Http.Routes.QueryOf(endpoint).Order(StringComparer.Ordinal));
            }
        }
    }

    [Fact]
    public void The_examples_of_the_contract_are_as_it_says()
    {
        var schema = new JsonSchema(ApprovedContract.Document);
        var faults = new List<string>();
        var examples = 0;
        foreach (var (where, media) in Media(ApprovedContract.Document, "$"))
        {
            var given = media.TryGetProperty("examples", out var named)
                ? named.EnumerateObject().Select(example => example.Value.GetProperty("value"))
                : media.TryGetProperty("example", out var one) ? [one] : [];
            foreach (var example in given)
            {
                examples++;
                schema.Check(media.GetProperty("schema"), example, where, faults);
            }
        }

        Assert.Empty(faults);
        Assert.InRange(examples, 50, 1_000);
    }

    private static IEnumerable<(string Where, JsonElement Media)> Media(JsonElement at, string path)
    {
        if (at.ValueKind == JsonValueKind.Array)
            return at.EnumerateArray().SelectMany((item, n) => Media(item, $"{path}[{n}]"));
        if (at.ValueKind != JsonValueKind.Object)
            return [];
        var here = at.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.Object
            ? content.EnumerateObject().Where(media => media.Name.EndsWith("json", StringComparison.Ordinal)).Select(media => (path, media.Value))
            : [];
        return here.Concat(at.EnumerateObject().SelectMany(member => Media(member.Value, $"{path}.{member.Name}")));
    }
}
