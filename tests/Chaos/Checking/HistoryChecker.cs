using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Checking;

/// <summary>
/// Compares what the actors were told with what the broker holds in the end. Pure: no clock, no network. An operation
/// without an answer may have happened or not; both are legal.
/// </summary>
public static class HistoryChecker
{
    /// <summary>Returns every broken promise; empty when all hold.</summary>
    public static IReadOnlyList<Finding> Check(History history, Snapshot snapshot) =>
    [
        .. Submissions.Check(history, snapshot),
        .. Reports.Check(history, snapshot),
        .. Endings.Check(history, snapshot),
        .. Attempts.Check(history, snapshot),
        .. Dependencies.Check(history, snapshot),
        .. Log.Check(snapshot),
    ];
}
