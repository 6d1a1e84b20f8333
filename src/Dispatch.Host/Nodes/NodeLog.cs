using Microsoft.Extensions.Logging;

namespace Dispatch.Host.Nodes;

/// <summary>What a node tells of itself.</summary>
internal static partial class NodeLog
{
    [LoggerMessage(EventId = 4901, Level = LogLevel.Information, Message = "Writes namespace {Space} (epoch {Epoch}, opened in {Ms} ms)")]
    public static partial void Writes(this ILogger logger, string space, long epoch, long ms);

    [LoggerMessage(EventId = 4902, Level = LogLevel.Information, Message = "Writes namespace {Space} no more")]
    public static partial void WritesNoMore(this ILogger logger, string space);

    [LoggerMessage(EventId = 4903, Level = LogLevel.Warning, Message = "Another node has taken namespace {Space} over: {Reason}")]
    public static partial void Superseded(this ILogger logger, string space, string reason);

    [LoggerMessage(EventId = 4904, Level = LogLevel.Error, Message = "Namespace {Space} can't be served: {Reason}")]
    public static partial void NotServed(this ILogger logger, string space, string reason);

    [LoggerMessage(EventId = 4905, Level = LogLevel.Warning, Message = "The nodes' tables can't be reached; what is known stands: {Reason}")]
    public static partial void CutOff(this ILogger logger, string reason);

    [LoggerMessage(EventId = 4906, Level = LogLevel.Information, Message = "The nodes' tables can be reached again")]
    public static partial void BackAgain(this ILogger logger);
}
