using Dispatch.Chaos.Faults;

namespace Dispatch.Chaos.Nodes;

/// <summary>Does faults to a cluster, and ends each again: when it returns, every process runs and every network is good.</summary>
public sealed class Injector(Cluster cluster)
{
    /// <summary>The Sync message that ends a batch on its way to PostgreSQL (Frontend/Backend Protocol, 53.7).</summary>
    private static ReadOnlySpan<byte> EndOfBatch => "S\0\0\0\u0004"u8;

    /// <summary>The first statement's answer of a batch that writes rows.</summary>
    private static ReadOnlySpan<byte> RowsWritten => "INSERT 0 "u8;

    /// <summary>A word in each batch that adds a task.</summary>
    private static ReadOnlySpan<byte> NewTask => "task.created"u8;

    /// <param name="writer">The node that writes now.</param>
    /// <returns>False: a trap was set, and nobody stepped into it.</returns>
    public async Task<bool> InjectAsync(PlannedFault fault, Member writer, CancellationToken cancel)
    {
        var others = cluster.Members.Where(member => member != writer).ToList();
        switch (fault.Kind)
        {
            case FaultKind.KillWriter:
                await KillAsync(writer, fault.Length, cancel);
                return true;
            case FaultKind.KillOther:
                await KillAsync(others[fault.Nth % others.Count], fault.Length, cancel);
                return true;
            case FaultKind.PauseWriter:
                writer.Broker.Pause();
                await Task.Delay(fault.Length, cancel);
                writer.Broker.Resume();
                return true;
            case FaultKind.RestartWriter:
                await writer.Broker.StopAsync(cancel);
                await Task.Delay(fault.Length, cancel);
                await writer.Broker.StartAsync(cancel);
                return true;
            case FaultKind.KillDatabase:
                await cluster.Database.KillAsync();
                await Task.Delay(fault.Length, cancel);
                await cluster.Database.StartAgainAsync();
                return true;
            case FaultKind.RestartDatabase:
                await cluster.Database.StopAsync();
                await Task.Delay(fault.Length, cancel);
                await cluster.Database.StartAgainAsync();
                return true;
            case FaultKind.SwallowWriter:
                await SwallowAsync([writer], fault.Length, cancel);
                return true;
            case FaultKind.SwallowAll:
                await SwallowAsync(cluster.Members, fault.Length, cancel);
                return true;
            case FaultKind.CutOffWriter:
                writer.Network.RefuseNew();
                writer.Network.Cut();
                await HealAfterAsync([writer], fault.Length, cancel);
                return true;
            case FaultKind.HalfCloseWriter:
                writer.Network.EndFlow(Flow.ToTarget);
                await HealAfterAsync([writer], fault.Length, cancel);
                return true;
            case FaultKind.Slow:
                foreach (var member in cluster.Members)
                {
                    member.Network.Delay(Flow.ToTarget, TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(60));
                    member.Network.Delay(Flow.ToClient, TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(60));
                }

                await HealAfterAsync(cluster.Members, fault.Length, cancel);
                return true;
            case FaultKind.CutInBatch:
                return await TrapAsync(writer, writer.Network.CutAtAsync(Flow.ToTarget, NewTask, CutPoint.After, fault.Nth, cancel), fault.Length, cancel);
            case FaultKind.CutAfterBatch:
                return await TrapAsync(writer, writer.Network.CutAtAsync(Flow.ToTarget, EndOfBatch, CutPoint.After, fault.Nth, cancel), fault.Length, cancel);
            case FaultKind.CutInAnswer:
                return await TrapAsync(writer, writer.Network.CutAtAsync(Flow.ToClient, RowsWritten, CutPoint.Before, fault.Nth, cancel), fault.Length, cancel);
            default:
                throw new ArgumentOutOfRangeException(nameof(fault), fault.Kind, "Nobody knows how to do it.");
        }
    }

    private static async Task KillAsync(Member member, TimeSpan down, CancellationToken cancel)
    {
        await member.Broker.KillAsync(cancel);
        await Task.Delay(down, cancel);
        await member.Broker.StartAsync(cancel);
    }

    private static Task SwallowAsync(IReadOnlyList<Member> members, TimeSpan length, CancellationToken cancel)
    {
        foreach (var member in members)
        {
            member.Network.Swallow(Flow.ToTarget);
            member.Network.Swallow(Flow.ToClient);
        }

        return HealAfterAsync(members, length, cancel);
    }

    private static async Task HealAfterAsync(IReadOnlyList<Member> members, TimeSpan length, CancellationToken cancel)
    {
        await Task.Delay(length, cancel);
        foreach (var member in members)
            member.Network.Heal();
    }

    private static async Task<bool> TrapAsync(Member writer, Task sprung, TimeSpan limit, CancellationToken cancel)
    {
        await Task.WhenAny(sprung, Task.Delay(limit, cancel));
        // Takes a trap away that nobody stepped into.
        writer.Network.Heal();
        await sprung.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancel.ThrowIfCancellationRequested();
        return sprung.IsCompletedSuccessfully;
    }
}
