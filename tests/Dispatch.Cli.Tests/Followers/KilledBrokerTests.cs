using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Dispatch.Cli.Programs;
using Dispatch.Cli.Tests.Support;
using Dispatch.Client;

namespace Dispatch.Cli.Tests.Followers;

/// <summary>A broker killed with SIGKILL again and again while somebody durable follows its log.</summary>
public sealed class KilledBrokerTests
{
    private const int Kills = 3;

    [Fact]
    public async Task A_webhook_goes_on_where_it_was_with_at_most_repeats()
    {
        using var directory = new TemporaryDirectory();
        var config = directory.Write("dispatch.yaml", "webhooks: { allow_private: true }\nlimits: { requests_per_second: 0 }\n");
        await using var receiver = new Receiver();
        var submitted = new List<string>();
        var broker = await StartAsync();
        try
        {
            using (var admin = Connect(asAdmin: true))
                await admin.CreateWebhookAsync(new WebhookChange { Url = receiver.Url, Filter = new WebhookFilter { Types = ["task.created"] } });

            for (var kill = 0; kill < Kills; kill++)
            {
                using var client = Connect(asAdmin: false);
                var before = receiver.Subjects.Count;
                for (var n = 0; n < 200; n++)
                    submitted.Add((await client.SubmitAsync(new NewTask { Title = "t", RequiredCapabilities = ["nobody"] })).Task.Id);

                // In the midst of its deliveries, or just before.
                await Eventually.HoldsAsync(() => receiver.Subjects.Count > before + 20, "deliveries are under way");
                _ = Libc.kill(broker.Id, Libc.SigKill);
                await broker.DisposeAsync();
                broker = await StartAsync();
            }

            await Eventually.HoldsAsync(() => receiver.Subjects.Distinct().Count() == submitted.Count, "everything is delivered");
        }
        finally
        {
            await broker.DisposeAsync();
        }

        // The first time of each, in order; after a kill some may come again, and never more than there were then: where it was is kept four times a second.
        Assert.Equal(submitted, receiver.Subjects.Distinct());
        Assert.InRange(receiver.Subjects.Count, submitted.Count, submitted.Count + (Kills * (Kills + 1) / 2 * 200));

        async Task<DispatchProcess> StartAsync()
        {
            File.Delete(directory.File("broker.json"));
            var started = DispatchProcess.Start(["serve", "--config", config, "--data-dir", directory.Path, "--port", "0", "--metrics-port", "0"]);
            await Eventually.HoldsAsync(() => File.Exists(directory.File("broker.json")), "the broker is ready");
            return started;
        }

        DispatchClient Connect(bool asAdmin) => new(new DispatchClientOptions
        {
            Server = new Uri(JsonElement.Parse(File.ReadAllText(directory.File("broker.json"))).GetProperty("url").GetString()!),
            AgentId = "alice",
            Token = asAdmin ? File.ReadAllText(directory.File("admin-token")).Trim() : null,
        });
    }

    /// <summary>A server on 127.0.0.1 that keeps what the events it is sent are about.</summary>
    private sealed class Receiver : IAsyncDisposable
    {
        private readonly HttpListener listener = new();
        private readonly ConcurrentQueue<string> subjects = [];
        private readonly Task serving;

        public Receiver()
        {
            using (var free = new TcpListener(IPAddress.Loopback, 0))
            {
                free.Start();
                Url = $"http://127.0.0.1:{((IPEndPoint)free.LocalEndpoint).Port}/";
            }

            listener.Prefixes.Add(Url);
            listener.Start();
            serving = ServeAsync();
        }

        public string Url { get; }

        public IReadOnlyCollection<string> Subjects => subjects.ToArray();

        public async ValueTask DisposeAsync()
        {
            listener.Close();
            await serving;
        }

        private async Task ServeAsync()
        {
            try
            {
                while (true)
                {
                    var request = await listener.GetContextAsync();
                    using (var body = await JsonDocument.ParseAsync(request.Request.InputStream))
                        subjects.Enqueue(body.RootElement.GetProperty("subject").GetString()!);
                    request.Response.StatusCode = 204;
                    request.Response.Close();
                }
            }
            catch (Exception closed) when (closed is HttpListenerException or ObjectDisposedException or JsonException or IOException)
            {
                // The end, or a broker that was killed while it sent.
                if (listener.IsListening)
                    await ServeAsync();
            }
        }
    }
}
