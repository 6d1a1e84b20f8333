using System.Diagnostics;
using System.Text.Json;
using Dispatch.Api.Tests.Support;
using Dispatch.Host.Configuration;

namespace Dispatch.Api.Tests.Webhooks;

/// <summary>Against the library of the specification itself, in its own language.</summary>
public sealed class StandardWebhooksTests
{
    [NodeFact]
    public async Task Its_library_verifies_what_is_delivered_also_during_a_rotation()
    {
        await using var broker = await TestBroker.StartAsync(config => config with { Webhooks = new WebhookSettings { AllowPrivate = true } });
        using var receiver = new NodeReceiver();
        var port = (await receiver.TellsAsync()).Number("port");
        var webhook = (await broker.Admin.PostAsync("/api/v1/webhooks", new { url = $"http://127.0.0.1:{port}/", filter = new { types = new[] { "task.created" } } })).Expect(201);
        await receiver.UseAsync(webhook.Text("secret"));

        await broker.As("alice").SubmitForAsync("nobody", "Zähle ☃ \"quoted\"");
        await ExpectAsync(receiver, verified: true, "dispatch.task.created");

        // It knows only the old secret: the second signature is for it.
        var rotated = (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/rotate-secret")).Expect(200);
        await broker.As("alice").SubmitForAsync("nobody");
        await ExpectAsync(receiver, verified: true, "dispatch.task.created");

        await receiver.UseAsync(rotated.Text("secret"));
        await broker.As("alice").SubmitForAsync("nobody");
        await ExpectAsync(receiver, verified: true, "dispatch.task.created");

        await receiver.UseAsync("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        var told = (await broker.Admin.PostAsync($"/api/v1/webhooks/{webhook.Id()}/test")).Expect(200);
        await ExpectAsync(receiver, verified: false, null);
        Assert.Equal("HTTP 401", told.Text("error"));
    }

    private static async Task ExpectAsync(NodeReceiver receiver, bool verified, string? type)
    {
        var told = await receiver.TellsAsync();
        Assert.True(told.GetProperty("verified").GetBoolean() == verified, told.ToString());
        Assert.Equal(type, told.Find("type"));
    }
}

/// <summary>tests/Receivers/standard-webhooks.js as a process of its own.</summary>
internal sealed class NodeReceiver : IDisposable
{
    private readonly Process process = Process.Start(new ProcessStartInfo("node", "standard-webhooks.js")
    {
        WorkingDirectory = NodeFactAttribute.Packages.Value.Directory!.Path,
        RedirectStandardInput = true,
        RedirectStandardOutput = true,
        UseShellExecute = false,
    })!;

    /// <summary>Its next line.</summary>
    public async Task<JsonElement> TellsAsync() =>
        JsonDocument.Parse(await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(30)) ?? throw new IOException("The receiver ended.")).RootElement;

    public async Task UseAsync(string secret)
    {
        await process.StandardInput.WriteLineAsync(secret);
        await process.StandardInput.FlushAsync();

        // Deliveries are made at least once: one under way while the secret was rotated may have come again.
        while (!(await TellsAsync()).TryGetProperty("ready", out _))
        {
        }
    }

    public void Dispose()
    {
        process.Kill();
        process.Dispose();
    }
}

/// <summary>A test that needs Node.js and packages for it. Skipped, with the reason, where there are none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NodeFactAttribute : FactAttribute
{
    internal static readonly Lazy<(TemporaryDirectory? Directory, string? Obstacle)> Packages = new(Install);

    public NodeFactAttribute() => Skip = Packages.Value.Obstacle;

    private static (TemporaryDirectory? Directory, string? Obstacle) Install()
    {
        var directory = new TemporaryDirectory();
        foreach (var file in Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "Receivers")))
            File.Copy(file, Path.Combine(directory.Path, Path.GetFileName(file)));
        try
        {
            using var process = Process.Start(new ProcessStartInfo("npm", "ci --ignore-scripts --no-audit --no-fund")
            {
                WorkingDirectory = directory.Path,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                UseShellExecute = false,
            })!;
            var output = process.StandardOutput.ReadToEndAsync();
            var error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode == 0)
            {
                AppDomain.CurrentDomain.ProcessExit += (_, _) => directory.Dispose();
                return (directory, null);
            }

            directory.Dispose();
            return (null, $"Needs packages for Node.js, and npm could not install them: {error.Trim().Split('\n')[^1]}");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            directory.Dispose();
            return (null, "Needs Node.js with npm, which is not here.");
        }
    }
}
