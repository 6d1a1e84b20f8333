using Dispatch.Host.Auth;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>Puts finished tasks back: one, or dead letters in bulk.</summary>
internal static class Redrive
{
    private const int Reads = 10;

    public static async Task<ChangeOutcome> RetryAsync(Sequencer sequencer, IStore store, TaskId id, Caller caller, CancellationToken cancel)
    {
        for (var read = 0; read < Reads; read++)
        {
            var facts = await store.FindFactsAsync([id], [], cancel);
            if (!facts.Tasks.TryGetValue(id, out var stored))
                return new ChangeOutcome.NotLive();
            if (!stored.Task.IsFinal)
                return new ChangeOutcome.WrongState(stored.Task.Status);
            var dependencies = stored.Task.DependsOn.Length == 0 ? null : await store.FindFactsAsync(stored.Task.DependsOn, [], cancel);
            var outcome = await sequencer.ExecuteAsync(new RetryTask(stored, facts.AsOf) { Facts = dependencies, Caller = caller.Agent, ByAdmin = caller.IsAdmin });
            if (outcome is not ChangeOutcome.NeedsFacts)
                return outcome;
        }

        return new ChangeOutcome.NeedsFacts();
    }
}
