using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Nodes;

/// <summary>What <c>dispatch serve</c> runs: a broker of its own, or one of several nodes.</summary>
public interface IServing : IAsyncDisposable
{
    /// <summary>Where this machine reaches the API.</summary>
    Uri Url { get; }

    /// <summary>Ends when it can't go on; the process should end then, and be started again.</summary>
    Task Completion { get; }

    /// <summary>How long what should move has been standing still.</summary>
    TimeSpan Stillness { get; }

    /// <summary>Where whoever runs it logs what belongs to it.</summary>
    ILoggerFactory Logs { get; }

    /// <summary>Looks at the configuration file now, rather than within two seconds.</summary>
    void ReadConfigAgain();

    /// <summary>Finishes and closes, within 10 s.</summary>
    Task StopAsync();
}
