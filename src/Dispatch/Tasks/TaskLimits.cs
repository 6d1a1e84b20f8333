namespace Dispatch.Tasks;

/// <summary>Bounds of a task's members, the same on every way in.</summary>
public static class TaskLimits
{
    public const int MaxTitle = 256;
    public const int MaxName = 256;
    public const int MaxDescription = 65_536;
    public const int MaxError = 8_192;
    public const int MaxMessage = 1_000;
    public const int MaxCapabilities = 64;
    public const int MaxLabels = 64;
    public const int MaxDependencies = 1_000;
    public const int MaxPriority = 10;
    public const int DefaultPriority = 5;
    public const int MaxRetries = 100;
    public const int DefaultRetries = 3;
    public const int MaxBulk = 1_000;
    public const int MaxModel = 128;

    /// <summary>Thirty days.</summary>
    public const long MaxTimeoutMs = 2_592_000_000;

    /// <summary>One day.</summary>
    public const long MaxRetryAfterMs = 86_400_000;

    public const long DefaultTimeoutMs = 300_000;
}
