namespace Dispatch.Host.Configuration;

/// <summary>
/// The validated settings of one broker process: a section per feature, immutable. <c>new DispatchConfig()</c> is the
/// defaults; <see cref="ConfigLoader"/> makes one from file, environment and command line.
/// </summary>
public sealed record DispatchConfig
{
    /// <summary>Listeners and admission.</summary>
    public ServerSettings Server { get; init; } = new();

    /// <summary>Who is calling, and what a caller may read.</summary>
    public AuthSettings Auth { get; init; } = new();

    /// <summary>The store.</summary>
    public DatabaseSettings Database { get; init; } = new();

    /// <summary>One of several processes on a database.</summary>
    public NodeSettings Node { get; init; } = new();

    /// <summary>How work is given out.</summary>
    public AssignmentSettings Assignment { get; init; } = new();

    /// <summary>Presence of agents.</summary>
    public AgentSettings Agents { get; init; } = new();

    /// <summary>What one caller may ask for.</summary>
    public LimitSettings Limits { get; init; } = new();

    /// <summary>Delay between attempts.</summary>
    public RetrySettings Retry { get; init; } = new();

    /// <summary>How long finished tasks are kept.</summary>
    public RetentionSettings Retention { get; init; } = new();

    /// <summary>What is asked before a step is taken.</summary>
    public QuestionSettings Questions { get; init; } = new();

    /// <summary>What limits go by: prices, teams, defaults.</summary>
    public AllowanceSettings Allowances { get; init; } = new();

    /// <summary>Deliveries of events to receivers outside.</summary>
    public WebhookSettings Webhooks { get; init; } = new();

    /// <summary>Log output.</summary>
    public LoggingSettings Logging { get; init; } = new();

    /// <summary>Export of metrics and traces.</summary>
    public TelemetrySettings Telemetry { get; init; } = new();

    /// <summary>The event bus. Read and validated, not used by this release.</summary>
    public HermesSettings Hermes { get; init; } = new();

    /// <summary>The agent directory. Read and validated, not used by this release.</summary>
    public WarrenSettings Warren { get; init; } = new();

    /// <summary>The capability directory. Read and validated, not used by this release.</summary>
    public PromptForgeSettings PromptForge { get; init; } = new();

    /// <summary>The device directory. Read and validated, not used by this release.</summary>
    public AlexandriaSettings Alexandria { get; init; } = new();

    /// <summary>The directory that holds the admin token, broker.json and, with SQLite, the database and its lock.</summary>
    public string DataDirectory => Database.IsPostgres
        ? Path.GetFullPath(Database.Directory ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".dispatch"))
        : Path.GetDirectoryName(Database.FilePath)!;

    /// <summary>
    /// Keys that are set but that this release does not use yet, by name: <c>serve</c> warns about each once.
    /// </summary>
    public IReadOnlyList<string> UnusedKeys()
    {
        var defaults = new DispatchConfig();
        return [.. ConfigKeys.All
            .Where(key => key.Section is "hermes" or "warren" or "promptforge" or "alexandria")
            .Where(key => !Equals(key.Value(this), key.Value(defaults)))
            .Select(key => key.Path)];
    }
}
