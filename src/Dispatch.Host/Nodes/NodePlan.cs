using Dispatch.Storage.Postgres;

namespace Dispatch.Host.Nodes;

/// <summary>Which node should write which namespace. It only decides who tries: the database decides who does.</summary>
internal static class NodePlan
{
    /// <summary>The node that writes it; null: none that lives.</summary>
    public static NodeRow? WriterOf(ClusterView view, string space) =>
        view.Namespaces.FirstOrDefault(known => known.Name == space) is { IsFree: false } row ? view.Nodes.FirstOrDefault(node => node.Holder == row.Holder) : null;

    /// <summary>Whether the node should take a free namespace: it is the one that was named, or has least to do.</summary>
    /// <param name="hasWaited">Whoever should have taken it had time to.</param>
    public static bool Wants(ClusterView view, NodeSelf self, NamespaceRow space, bool hasWaited)
    {
        var others = view.Nodes.Where(node => node.Name != self.Name && CanTake(node)).ToList();
        if (IsDraining(view, self) && others.Count > 0)
            return false;
        if (hasWaited || others.Count == 0)
            return true;
        if (space.Node == self.Name)
            return true;
        if (others.Exists(node => node.Name == space.Node))
            return false;
        var own = Count(view, self.Holder);
        return others.TrueForAll(node => Count(view, node.Holder) >= own);
    }

    /// <summary>Whether the node that writes it should let go: another was named for it, or this one drains, and there is one to take it.</summary>
    public static bool Leaves(ClusterView view, NodeSelf self, NamespaceRow space)
    {
        var others = view.Nodes.Where(node => node.Name != self.Name && CanTake(node)).ToList();
        return IsDraining(view, self) ? others.Count > 0 : space.Node != self.Name && others.Exists(node => node.Name == space.Node);
    }

    private static bool IsDraining(ClusterView view, NodeSelf self) => view.Nodes.Any(node => node.Name == self.Name && node.Draining);

    private static bool CanTake(NodeRow node) => !node.Draining && node.SilentMs < Node.LifeMs;

    private static int Count(ClusterView view, string holder) => view.Namespaces.Count(space => !space.IsFree && space.Holder == holder);
}
