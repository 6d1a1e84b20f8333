using System.Runtime.InteropServices;
using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Xunit.Sdk;

namespace Dispatch.Api.Tests.Running;

/// <summary>While somebody else holds the database's write lock, as a person at a prompt may.</summary>
public sealed partial class StoreAwayTests
{
    [Fact]
    public async Task Without_its_store_the_broker_refuses_tells_why_still_reads_and_recovers_by_itself()
    {
        using var directory = new TemporaryDirectory();
        await using var broker = await TestBroker.StartAsync(directory: directory.Path);
        broker.MayLogErrors = true;
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do");
        var held = await alice.SubmitForAsync("do");
        (await worker.Api.PostAsync($"/api/v1/tasks/{held}/start")).Expect(200);
        var waiting = worker.Api.PostAsync("/api/v1/agents/worker/work?wait_ms=60000", new { holding = new[] { held } });
        await Eventually.HoldsAsync(() => broker.Broker.Connections.Active == 1, "the worker waits");
        var body = new { title = "x", scope = "other", idempotency_key = "k" };

        using (ForeignLock.Take(Path.Combine(directory.Path, "dispatch.db")))
        {
            var refused = await alice.PostAsync("/api/v1/tasks", body);
            // Of the file and the statement, the log tells.
            Assert.Equal("The store does not take writes now, so nothing was changed; try again later.", refused.ExpectProblem(503, "store_unavailable").Text("detail"));
            Assert.Equal("1", refused.Header("Retry-After"));
            await Eventually.HoldsAsync(async () => (await ReadyAsync(broker)).Status == 503, "it says that it is not ready");
            Assert.Equal("the store does not take writes", (await ReadyAsync(broker)).Json.Text("reason"));
            (await worker.Api.PostAsync($"/api/v1/tasks/{held}/complete", new { attempt = 1 })).ExpectProblem(503, "store_unavailable");
            Assert.Equal("running", await alice.StatusAsync(held));
            Assert.Single((await alice.GetAsync("/api/v1/tasks")).Expect(200).Items());
        }

        await Eventually.HoldsAsync(async () => (await ReadyAsync(broker)).Status == 200, "it is ready again");
        var task = (await alice.PostAsync("/api/v1/tasks", body)).Expect(201);
        Assert.Equal("completed", (await worker.CompleteAsync(held, new { attempt = 1 })).Text("status"));
        Assert.Equal(task.Id(), (await alice.PostAsync("/api/v1/tasks", body)).Expect(200).Id());

        // Who waited may have been refused, or waits on and is given what comes.
        if (!waiting.IsCompleted)
            await alice.SubmitForAsync("do");
        Assert.Contains((await waiting).Status, (int[])[200, 503]);
    }

    [Fact]
    public async Task A_change_of_the_configuration_waits_for_the_store_and_is_told_once()
    {
        using var directory = new TemporaryDirectory();
        var file = Path.Combine(directory.Path, "dispatch.yaml");
        File.WriteAllText(file, "assignment: { default_timeout_ms: 1000 }\n");
        await using var broker = await TestBroker.StartFromFileAsync(file, directory.Path);
        broker.MayLogErrors = true;
        var alice = broker.As("alice");

        using (ForeignLock.Take(Path.Combine(directory.Path, "dispatch.db")))
        {
            File.WriteAllText(file, "assignment: { default_timeout_ms: 2000 }\n");
            await Eventually.HoldsAsync(() => broker.Log.Contains("takes effect when the broker takes writes again", StringComparison.Ordinal), "it is told that the change waits");
        }

        await Eventually.HoldsAsync(() => broker.Log.Contains("in force now: assignment.default_timeout_ms", StringComparison.Ordinal), "the change is taken over");
        Assert.Equal(2000, (await alice.SubmitAsync(new { title = "x" })).Number("timeout_ms"));
        Assert.Single((await broker.Admin.GetAsync("/api/v1/events?type=config.reloaded")).Expect(200).Items("events"));
        Assert.Single(broker.Log.Split('\n'), line => line.Contains("takes writes again", StringComparison.Ordinal));
    }

    private static async Task<(int Status, JsonElement Json)> ReadyAsync(TestBroker broker)
    {
        using var http = new HttpClient();
        using var response = await http.GetAsync(new Uri(broker.Broker.OperationsUrl, "/ready"));
        return ((int)response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsByteArrayAsync()).RootElement);
    }

    private sealed partial class ForeignLock : IDisposable
    {
        private readonly nint connection;

        static ForeignLock() => NativeLibrary.SetDllImportResolver(typeof(ForeignLock).Assembly, static (name, assembly, search) => name == "sqlite3"
            ? NativeLibrary.Load(OperatingSystem.IsWindows() ? "winsqlite3" : OperatingSystem.IsMacOS() ? "libsqlite3.dylib" : "libsqlite3.so.0", assembly, search)
            : 0);

        private ForeignLock(nint connection) => this.connection = connection;

        public static ForeignLock Take(string database)
        {
            Assert.Equal(0, Open(database, out var connection));
            Assert.Equal(0, Execute(connection, "PRAGMA busy_timeout = 10000", 0, 0, 0));
            return Execute(connection, "BEGIN IMMEDIATE", 0, 0, 0) == 0 ? new ForeignLock(connection) : throw new XunitException("The lock can't be had.");
        }

        public void Dispose()
        {
            Assert.Equal(0, Execute(connection, "ROLLBACK", 0, 0, 0));
            Assert.Equal(0, Close(connection));
        }

        [LibraryImport("sqlite3", EntryPoint = "sqlite3_open", StringMarshalling = StringMarshalling.Utf8)]
        private static partial int Open(string file, out nint connection);

        [LibraryImport("sqlite3", EntryPoint = "sqlite3_exec", StringMarshalling = StringMarshalling.Utf8)]
        private static partial int Execute(nint connection, string sql, nint callback, nint argument, nint error);

        [LibraryImport("sqlite3", EntryPoint = "sqlite3_close")]
        private static partial int Close(nint connection);
    }
}
