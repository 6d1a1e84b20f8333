using System.Text;
using System.Text.Json;
using Dispatch.Cli.Programs;
using Dispatch.Cli.Tests.Support;
using Dispatch.Servers;

namespace Dispatch.Cli.Tests.Stores;

/// <summary><c>dispatch store copy</c> as a process, on stores that real brokers wrote.</summary>
public sealed class StoreCopyTests : IDisposable
{
    private const int Tasks = 20_000;

    private readonly TemporaryDirectory directory = new();

    public void Dispose() => directory.Dispose();

    [Fact]
    public async Task A_copy_that_was_killed_goes_on_and_a_broker_goes_on_with_the_copy()
    {
        var (from, to) = (Make("from"), Make("to"));
        await using (var broker = await ServeAsync(from, Url(from)))
        {
            await SubmitAsync(from, Tasks);
            var refused = await CopyAsync(Url(from), Url(to));
            Assert.Equal(1, refused.ExitCode);
            Assert.Contains($"process {broker.Id}", refused.Errors, StringComparison.Ordinal);
            await StopAsync(broker);
        }

        await using (var copying = DispatchProcess.Start(["store", "copy", "--from", Url(from), "--to", Url(to)]))
        {
            await Eventually.HoldsAsync(() => File.Exists(Path.Combine(to, "dispatch.db-wal")) && new FileInfo(Path.Combine(to, "dispatch.db-wal")).Length > 1 << 20, "some of it is written");
            _ = Libc.kill(copying.Id, Libc.SigKill);
            Assert.NotEqual(0, (await copying.EndAsync()).ExitCode);
        }

        var start = await DispatchProcess.RunAsync(["serve", "--data-dir", to, "--port", "0", "--metrics-port", "0"]);
        Assert.NotEqual(0, start.ExitCode);
        Assert.Contains("unfinished copy", start.Errors, StringComparison.Ordinal);

        await CompleteAsync(Url(from), Url(to), to, databaseUrl: null);
    }

    [PostgresFact]
    public async Task A_store_moves_to_postgres_and_back()
    {
        await using var server = await PostgresServer.StartAsync(directory.Path);
        var (from, middle, back) = (Make("from"), Make("middle"), Make("back"));
        await using (var broker = await ServeAsync(from, Url(from)))
        {
            await SubmitAsync(from, 2_000);
            await StopAsync(broker);
        }

        await CompleteAsync(Url(from), server.Url(), middle, server.Url());
        await CompleteAsync(server.Url(), Url(back), back, databaseUrl: null);
    }

    [Theory]
    [InlineData("sqlite://a.db", "mysql://b", "neither")]
    [InlineData("sqlite://a.db --from-namespace x", "sqlite://b.db", "namespaces")]
    public async Task An_address_that_is_none_is_refused(string from, string to, string says)
    {
        var outcome = await DispatchProcess.RunAsync(["store", "copy", "--from", .. from.Split(' '), "--to", to]);

        Assert.Equal(2, outcome.ExitCode);
        Assert.Contains(says, outcome.Errors, StringComparison.Ordinal);
    }

    /// <summary>Copies, and has a broker go on with the copy.</summary>
    private static async Task CompleteAsync(string from, string to, string data, string? databaseUrl)
    {
        var copied = await CopyAsync(from, to, "--json");
        Assert.True(copied.ExitCode == 0, copied.Errors);
        var report = JsonElement.Parse(copied.Output);
        var last = report.GetProperty("last_sequence").GetInt64();
        Assert.True(report.GetProperty("events").GetInt64() > 0);

        await using (var broker = await ServeAsync(data, databaseUrl ?? Url(data)))
        {
            await SubmitAsync(data, 1);
            await StopAsync(broker);
        }

        IReadOnlyDictionary<string, string?> database = new Dictionary<string, string?> { ["DISPATCH__DATABASE__URL"] = databaseUrl ?? Url(data) };
        var verified = await DispatchProcess.RunAsync(["audit", "verify", "--json", "--data-dir", data], environment: database);
        Assert.True(verified.ExitCode == 0, verified.Output + verified.Errors);
        Assert.True(JsonElement.Parse(verified.Output).GetProperty("last_sequence").GetInt64() > last);
        var examined = await DispatchProcess.RunAsync(["doctor", "--json", "--data-dir", data], environment: database);
        Assert.True(examined.ExitCode == 0, examined.Output + examined.Errors);
    }

    private string Make(string name) => Directory.CreateDirectory(directory.File(name)).FullName;

    private static string Url(string data) => $"sqlite://{data}/dispatch.db";

    private static Task<DispatchProcess.Outcome> CopyAsync(string from, string to, params string[] more) => DispatchProcess.RunAsync(["store", "copy", "--from", from, "--to", to, .. more]);

    private static async Task<DispatchProcess> ServeAsync(string data, string database)
    {
        File.Delete(Path.Combine(data, "broker.json"));
        var broker = DispatchProcess.Start(
            ["serve", "--data-dir", data, "--port", "0", "--metrics-port", "0"], new Dictionary<string, string?> { ["DISPATCH__DATABASE__URL"] = database, ["DISPATCH__LIMITS__REQUESTS_PER_SECOND"] = "0" });
        await Eventually.HoldsAsync(() => broker.HasExited || File.Exists(Path.Combine(data, "broker.json")), "the broker is ready");
        return broker;
    }

    private static async Task SubmitAsync(string data, int count)
    {
        var lines = new StringBuilder();
        for (var n = 0; n < count; n++)
            lines.Append("{\"title\":\"task ").Append(n).Append("\"}\n");
        var file = Path.Combine(data, "tasks.jsonl");
        await File.WriteAllTextAsync(file, lines.ToString());
        var submitted = await DispatchProcess.RunAsync(["submit", "-f", file, "--data-dir", data]);
        Assert.True(submitted.ExitCode == 0, submitted.Errors);
    }

    private static async Task StopAsync(DispatchProcess broker)
    {
        _ = Libc.kill(broker.Id, Libc.SigTerm);
        Assert.Equal(0, (await broker.EndAsync()).ExitCode);
    }
}

/// <summary>A test that needs a PostgreSQL, and is skipped where there is none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PostgresFactAttribute : FactAttribute
{
    public PostgresFactAttribute() => Skip = PostgresServer.Missing;
}
