using System.Text.Json;
using System.Text.RegularExpressions;
using Dispatch.Host.Http.Problems;
using Xunit;

namespace Dispatch.Architecture.Tests;

/// <summary>What the contract and the pages promise is what the running broker has.</summary>
public sealed partial class PromiseTests(RunningBroker broker) : IClassFixture<RunningBroker>
{
    private static readonly JsonElement Contract = JsonDocument.Parse(Repository.Read("docs/openapi.json")).RootElement;

    private static IEnumerable<(string Route, bool IsOperations)> Promised =>
        from path in Contract.GetProperty("paths").EnumerateObject()
        from member in path.Value.EnumerateObject()
        where member.Name is "get" or "put" or "post" or "patch" or "delete"
        select ($"{member.Name} {path.Name}", path.Value.TryGetProperty("servers", out _));

    [Fact]
    public void The_broker_has_the_routes_of_the_contract_and_no_others() =>
        Assert.Equal(
            Promised.Where(route => !route.IsOperations).Select(route => route.Route).Order(StringComparer.Ordinal),
            broker.Routes.Order(StringComparer.Ordinal));

    [Fact]
    public async Task The_operations_port_answers_what_the_contract_says()
    {
        using var client = new HttpClient { BaseAddress = broker.OperationsUrl };
        var paths = Promised.Where(route => route.IsOperations).Select(route => route.Route.Split(' ')[1]).ToList();

        Assert.NotEmpty(paths);
        foreach (var path in paths)
        {
            using var answer = await client.GetAsync(new Uri(path, UriKind.Relative));
            Assert.True(answer.IsSuccessStatusCode, $"{path}: {answer.StatusCode}");
        }
    }

    [Fact]
    public void The_contract_has_the_error_codes_of_the_code_and_no_others()
    {
        var promised = Contract.GetProperty("components").GetProperty("schemas").GetProperty("ErrorCode").GetProperty("enum").EnumerateArray();

        Assert.Equal(
            promised.Select(code => code.GetString()!).Order(StringComparer.Ordinal),
            ErrorCode.All.Select(code => code.Name).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Metrics_named_in_documents_exist()
    {
        using var client = new HttpClient { BaseAddress = broker.OperationsUrl };
        var page = await client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        var exported = MetricType().Matches(page).Select(line => line.Groups["name"].Value).ToHashSet(StringComparer.Ordinal);

        var named = MarkdownPage.All.SelectMany(document => document.Code).SelectMany(code => MetricName().Matches(code)).Select(name => name.Value).ToList();

        Assert.NotEmpty(named);
        Assert.Empty(named.Except(exported, StringComparer.Ordinal));
    }

    [GeneratedRegex("^# TYPE (?<name>[a-z_]+) ", RegexOptions.Multiline)]
    private static partial Regex MetricType();

    // The schema of the default namespace begins like a metric.
    [GeneratedRegex(@"(?<![\w/])dispatch_(?!default\b)[a-z_]+")]
    private static partial Regex MetricName();
}
