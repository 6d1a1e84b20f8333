using System.Text.Json;
using Dispatch.Host.Configuration;

namespace Dispatch.Host.Tests.Configuration;

public sealed class LoadedConfigTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    public void Dispose() => directory.Dispose();

    [Theory]
    [InlineData(ConfigFormat.Json)]
    [InlineData(ConfigFormat.Yaml)]
    public void Secrets_are_masked(ConfigFormat format)
    {
        string shown = Load(new()
        {
            ["server.admin_token"] = "hush-admin",
            ["warren.token"] = "hush-warren",
            ["warren.url"] = "http://localhost:9090/?key=hush-query",
            ["hermes.url"] = "nats://me:hush-password@localhost:4222",
            ["promptforge.url"] = "http://localhost:8083/",
        }).Show(format);

        Assert.DoesNotContain("hush", shown);
        Assert.Contains("\"***\"", shown);
        Assert.Contains("http://localhost:9090/?***", shown);
        Assert.Contains("nats://me:***@localhost:4222", shown);
        Assert.Contains("http://localhost:8083/", shown);
    }

    [Fact]
    public void Json_holds_every_value_and_its_source()
    {
        JsonElement shown = JsonDocument.Parse(Load(new() { ["server.port"] = "1234", ["server.allowed_hosts"] = "a.example" }).Show(ConfigFormat.Json)).RootElement;

        Assert.Equal(1234, shown.GetProperty("server").GetProperty("port").GetInt32());
        Assert.Equal(JsonValueKind.Null, shown.GetProperty("server").GetProperty("admin_token").ValueKind);
        Assert.True(shown.GetProperty("assignment").GetProperty("owner_filter_enabled").GetBoolean());
        Assert.Equal("a.example", shown.GetProperty("server").GetProperty("allowed_hosts")[0].GetString());
        Assert.Equal("flag server.port", shown.GetProperty("sources").GetProperty("server.port").GetString());
        Assert.Equal("default", shown.GetProperty("sources").GetProperty("agents.lease_ms").GetString());
    }

    [Fact]
    public void Yaml_can_be_loaded_again_and_means_the_same()
    {
        LoadedConfig first = Load(new() { ["server.port"] = "1234", ["logging.level"] = "warn", ["server.allowed_hosts"] = "a.example,b.example", ["hermes.url"] = "nats://h:1", ["allowances.prices"] = """{"a/b:c":{"in":1,"out":2}}""", ["allowances.teams"] = """{"x":["y","z z"],"w":["v"]}""" });
        string file = directory.Write("again.yaml", first.Show(ConfigFormat.Yaml));

        LoadedConfig second = Assert.IsType<ConfigOutcome.Loaded>(ConfigLoader.Load(Inputs([]) with { File = file })).Config;

        foreach (ConfigKey key in ConfigKeys.All)
            Assert.Equal(key.Value(first.Config), key.Value(second.Config));
    }

    private LoadedConfig Load(Dictionary<string, string> overrides) =>
        Assert.IsType<ConfigOutcome.Loaded>(ConfigLoader.Load(Inputs(overrides))).Config;

    private ConfigInputs Inputs(Dictionary<string, string> overrides) => new()
    {
        Environment = new Dictionary<string, string>(),
        Overrides = overrides,
        WorkingDirectory = directory.Path,
        HomeDirectory = directory.Path,
    };
}
