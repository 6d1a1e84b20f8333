using System.Text.RegularExpressions;
using Dispatch.Host.Configuration;
using Xunit;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace Dispatch.Architecture.Tests;

/// <summary>What is shipped to run the broker fits the broker.</summary>
public sealed partial class DeploymentTests
{
    private static readonly Dictionary<object, object> Composition =
        new DeserializerBuilder().WithAttemptingUnquotedStringTypeDeserialization().Build().Deserialize<Dictionary<object, object>>(
            new MergingParser(new Parser(new StringReader(Repository.Read("deploy/docker/compose.yaml")))));

    public static TheoryData<string> Scripts =>
        [.. Repository.Files("build", "*.sh").Concat(Repository.Files("deploy", "*.sh")).Concat(new[] { "postinst", "prerm", "postrm" }.Select(name => $"deploy/debian/{name}"))];

    [Fact]
    public void The_settings_of_the_package_are_valid_and_so_are_those_they_suggest()
    {
        var shipped = Repository.Read("deploy/debian/dispatch.yaml");
        // Words have one space behind their #.
        var suggested = SuggestedLine().Replace(shipped, "");

        var loaded = Assert.IsType<ConfigOutcome.Loaded>(Load(shipped)).Config.Config;
        Assert.Equal("/var/lib/dispatch/dispatch.db", loaded.Database.FilePath);
        Assert.True(loaded.Server.IsLoopback);
        Assert.NotEqual(shipped, suggested);
        Assert.IsType<ConfigOutcome.Loaded>(Load(suggested.Replace("bind: 127.0.0.1", "bind: localhost", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("deploy/debian/environment")]
    [InlineData("deploy/systemd/dispatch.service")]
    [InlineData("deploy/docker/Dockerfile")]
    [InlineData("deploy/docker/entrypoint.sh")]
    [InlineData("deploy/docker/compose.yaml")]
    public void Variables_that_are_set_are_read(string file)
    {
        var known = ConfigKeys.All.Select(key => key.Variable).OfType<string>()
            .Concat(ConfigKeys.All.Select(key => "DISPATCH__" + key.Path.Replace(".", "__", StringComparison.Ordinal).ToUpperInvariant()))
            .Append("DISPATCH_DATA_DIR")
            // Of the entrypoint itself.
            .Append("DISPATCH_PROGRAM");
        var named = Variable().Matches(Repository.Read(file)).Select(name => Regex.Replace(name.Value, "_FILE$", "")).Distinct(StringComparer.Ordinal).ToList();

        Assert.NotEmpty(named);
        Assert.Empty(named.Except(known, StringComparer.Ordinal));
    }

    [Fact]
    public void The_composition_names_only_what_it_has()
    {
        var services = Map(Composition["services"]);
        Assert.Superset(new HashSet<object> { "broker", "postgres" }, services.Keys.ToHashSet());
        foreach (var (name, value) in services)
        {
            var service = Map(value);
            Assert.All(List(service, "secrets"), secret => Assert.Contains(secret, Map(Composition["secrets"]).Keys));
            Assert.All(List(service, "networks"), network => Assert.Contains(network, Map(Composition["networks"]).Keys));
            Assert.All(List(service, "volumes"), volume => Assert.Contains(((string)volume).Split(':')[0], Map(Composition["volumes"]).Keys));
            // Nobody but this machine: TLS is a proxy's.
            Assert.All(List(service, "ports"), port => Assert.StartsWith("127.0.0.1:", (string)port, StringComparison.Ordinal));
            Assert.Equal(["ALL"], List(service, "cap_drop"));
            Assert.True(service.ContainsKey("restart"), $"{name} does not come back");
            if (service.TryGetValue("depends_on", out var needed))
                Assert.All(Map(needed).Keys, other => Assert.True(Map(services[other]).ContainsKey("healthcheck"), $"{other} can't say that it is healthy"));
        }
    }

    [Fact]
    public void No_secret_stands_in_the_composition_and_brokers_can_write_their_volume_only()
    {
        foreach (var service in Map(Composition["services"]).Values.Select(Map))
        {
            Assert.All(Map(service["environment"]), entry =>
            {
                if (Regex.IsMatch((string)entry.Key, "PASSWORD|TOKEN"))
                    Assert.StartsWith("/run/secrets/", (string)entry.Value, StringComparison.Ordinal);
                Assert.DoesNotMatch("://[^/]*:[^/]*@", entry.Value.ToString()!);
            });
        }

        Assert.All(new[] { "broker", "standby" }.Select(name => Map(Map(Composition["services"])[name])), broker => Assert.Equal(true, broker["read_only"]));
        Assert.Contains("deploy/docker/secrets/", File.ReadLines(Repository.At(".gitignore")));
    }

    [Fact]
    public void The_image_is_made_of_files_that_exist_and_does_not_run_as_root()
    {
        var lines = File.ReadAllLines(Repository.At("deploy/docker/Dockerfile"));
        var sources = lines.Where(line => line.StartsWith("COPY ", StringComparison.Ordinal) && !line.Contains("--from=", StringComparison.Ordinal))
            .SelectMany(line => line.Split(' ')[1..^1].Where(word => !word.StartsWith("--", StringComparison.Ordinal)));
        var taken = File.ReadLines(Repository.At("deploy/docker/Dockerfile.dockerignore")).Where(line => line.StartsWith('!')).Select(line => line[1..]).ToList();

        Assert.All(sources, source =>
        {
            Assert.True(Path.Exists(Repository.At(source)), $"there is no {source}");
            Assert.Contains(source.TrimEnd('/'), taken.Concat(taken.Select(path => Path.GetDirectoryName(path)!)));
        });
        Assert.Equal("USER $APP_UID", lines.Last(line => line.StartsWith("USER ", StringComparison.Ordinal)));
        Assert.Contains(lines, line => line.StartsWith("HEALTHCHECK ", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Scripts))]
    public async Task A_script_can_be_read_by_its_shell(string script)
    {
        var shell = File.ReadLines(Repository.At(script)).First().Contains("bash", StringComparison.Ordinal) ? "bash" : "sh";
        using var process = System.Diagnostics.Process.Start(
            new System.Diagnostics.ProcessStartInfo(shell, ["-n", Repository.At(script)]) { RedirectStandardError = true, UseShellExecute = false })!;
        var faults = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();

        Assert.Equal(("", 0), (faults, process.ExitCode));
    }

    private static ConfigOutcome Load(string text) =>
        ConfigLoader.Load(new ConfigInputs { File = "/etc/dispatch/dispatch.yaml", Content = System.Text.Encoding.UTF8.GetBytes(text), Environment = new Dictionary<string, string>() });

    private static Dictionary<object, object> Map(object value) => Assert.IsType<Dictionary<object, object>>(value);

    private static List<object> List(Dictionary<object, object> of, string key) => of.TryGetValue(key, out var value) ? Assert.IsType<List<object>>(value) : [];

    [GeneratedRegex("(?m)^#(?=[a-z]|  )")]
    private static partial Regex SuggestedLine();

    [GeneratedRegex("DISPATCH_[A-Z_]+[A-Z]")]
    private static partial Regex Variable();
}
