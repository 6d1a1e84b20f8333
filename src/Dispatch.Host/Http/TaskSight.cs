using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>Which tasks a caller may see.</summary>
internal sealed class TaskSight(Visibility visibility)
{
    public bool Sees(Caller caller, WorkTask task) => Limit(caller) is not { } name
        || string.Equals(task.Requester, name, StringComparison.Ordinal)
        || string.Equals(task.Assignee, name, StringComparison.Ordinal)
        || string.Equals(task.LastAgent, name, StringComparison.Ordinal)
        || string.Equals(task.Needs.Owner, name, StringComparison.Ordinal);

    /// <summary>Whose tasks only, or null: everybody's.</summary>
    public string? Limit(Caller caller) => caller.IsAdmin || visibility == Visibility.Swarm ? null : caller.Agent;
}
