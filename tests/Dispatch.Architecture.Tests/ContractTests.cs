using System.Text.Json;
using Xunit;

namespace Dispatch.Architecture.Tests;

/// <summary>The approved HTTP contract agrees with itself and with the page of errors.</summary>
public sealed class ContractTests
{
    private static readonly JsonElement Contract = JsonDocument.Parse(Repository.Read("docs/openapi.json")).RootElement;

    private static IEnumerable<(string Route, JsonElement Operation)> Operations =>
        from path in Contract.GetProperty("paths").EnumerateObject()
        from member in path.Value.EnumerateObject()
        where member.Name is "get" or "put" or "post" or "patch" or "delete"
        select ($"{member.Name} {path.Name}", member.Value);

    [Fact]
    public void Every_reference_resolves()
    {
        var dangling = References(Contract).Where(reference => !Exists(reference)).Distinct();

        Assert.Empty(dangling);
    }

    [Fact]
    public void Every_component_is_used()
    {
        var used = References(Contract).ToHashSet(StringComparer.Ordinal);
        var unused =
            from kind in Contract.GetProperty("components").EnumerateObject()
            where kind.Name != "securitySchemes"
            from component in kind.Value.EnumerateObject()
            where !used.Contains($"#/components/{kind.Name}/{component.Name}")
            select $"{kind.Name}/{component.Name}";

        Assert.Empty(unused);
    }

    [Fact]
    public void Operations_are_named_once()
    {
        var names = Operations.Select(operation => operation.Operation.GetProperty("operationId").GetString()!).ToList();

        Assert.NotEmpty(names);
        Assert.Equal(names.Count, names.Distinct(StringComparer.Ordinal).Count());
    }

    [Fact]
    public void Every_call_of_the_api_says_how_it_can_be_refused()
    {
        string[] always = ["400", "401", "429", "500", "503"];
        var silent =
            from operation in Operations
            where operation.Route.Contains("/api/", StringComparison.Ordinal)
            let responses = operation.Operation.GetProperty("responses").EnumerateObject().Select(response => response.Name).ToList()
            where always.Except(responses).Any() || (operation.Operation.TryGetProperty("requestBody", out _) && !responses.Contains("413"))
            select operation.Route;

        Assert.Empty(silent);
    }

    [Fact]
    public void What_a_caller_sends_is_closed_against_typos()
    {
        var schemas = Contract.GetProperty("components").GetProperty("schemas");
        var open = Operations
            .Where(operation => operation.Operation.TryGetProperty("requestBody", out _))
            .SelectMany(operation => References(operation.Operation.GetProperty("requestBody").GetProperty("content").GetProperty("application/json").GetProperty("schema")))
            .Distinct(StringComparer.Ordinal)
            .Where(reference => !schemas.GetProperty(reference.Split('/')[^1]).TryGetProperty("additionalProperties", out var more) || more.ValueKind != JsonValueKind.False);

        Assert.Empty(open);
    }

    [Fact]
    public void Every_error_code_is_documented()
    {
        var page = Repository.Read("docs/errors.md");
        var codes = Contract.GetProperty("components").GetProperty("schemas").GetProperty("ErrorCode").GetProperty("enum").EnumerateArray().Select(code => code.GetString()!).ToList();

        Assert.NotEmpty(codes);
        Assert.All(codes, code => Assert.Contains($"`{code}`", page, StringComparison.Ordinal));
    }

    private static IEnumerable<string> References(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(member =>
            member is { Name: "$ref", Value.ValueKind: JsonValueKind.String } ? [member.Value.GetString()!] : References(member.Value)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(References),
        _ => [],
    };

    private static bool Exists(string reference)
    {
        var at = Contract;
        foreach (var step in reference.TrimStart('#', '/').Split('/'))
        {
            if (!at.TryGetProperty(step.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal), out at))
                return false;
        }

        return true;
    }
}
