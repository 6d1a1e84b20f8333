using System.Text.Json;

namespace Dispatch.Cli.Brokers;

/// <summary>The directory a broker keeps its things in, as far as other commands look into it.</summary>
/// <param name="Path">Its full path; it need not exist.</param>
internal sealed record DataDirectory(string Path)
{
    /// <summary>The directory that was named, else DISPATCH_DATA_DIR, else ~/.dispatch.</summary>
    public static DataDirectory Find(string? named)
    {
        if (string.IsNullOrEmpty(named))
            named = Environment.GetEnvironmentVariable("DISPATCH_DATA_DIR");
        if (string.IsNullOrEmpty(named))
            named = System.IO.Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".dispatch");
        return new DataDirectory(System.IO.Path.GetFullPath(named));
    }

    /// <summary>Where a running broker has said it can be reached; null when none runs here or its file can not be read.</summary>
    public RunningBroker? FindBroker()
    {
        try
        {
            using var file = File.OpenRead(System.IO.Path.Combine(Path, "broker.json"));
            using var document = JsonDocument.Parse(file);
            var root = document.RootElement;
            return root.TryGetProperty("url", out var url) && Uri.TryCreate(url.GetString(), UriKind.Absolute, out var address)
                ? new RunningBroker(address, Metrics(root), root.TryGetProperty("pid", out var pid) ? pid.GetInt32() : null)
                : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException or FormatException)
        {
            // Not there, half-written or another user's: then the broker has to be named, and the message says so.
            return null;
        }
    }

    /// <summary>The admin token kept here; null when there is none or it may not be read.</summary>
    public string? FindAdminToken()
    {
        try
        {
            return File.ReadAllText(System.IO.Path.Combine(Path, "admin-token")).Trim() is { Length: > 0 } token ? token : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static Uri? Metrics(JsonElement root) =>
        root.TryGetProperty("metrics_url", out var url) && Uri.TryCreate(url.GetString(), UriKind.Absolute, out var address) ? address : null;
}

/// <summary>A broker as its data directory describes it.</summary>
/// <param name="Url">The API's address.</param>
/// <param name="MetricsUrl">The operations port's address.</param>
/// <param name="ProcessId">Its process.</param>
internal sealed record RunningBroker(Uri Url, Uri? MetricsUrl, int? ProcessId);
