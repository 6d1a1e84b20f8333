using System.Text.Json;
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

/// <summary>Which dead letters to put back: by id, or by filter.</summary>
internal sealed record RedriveRequest(IReadOnlyList<TaskId>? Ids, TaskQuery Query)
{
    private static readonly MemberNames Known = new("ids", "status", "scope", "requester", "limit");

    public static RedriveRequest Read(JsonBody body)
    {
        var faults = new Faults();
        TaskId[]? ids = null;
        var query = new TaskQuery { Statuses = [TaskState.Failed, TaskState.Timeout], DeadLettered = true };
        var filtered = false;
        if (body.HasRoot && body.Root.ValueKind != JsonValueKind.Object)
            faults.Add("body", "must be a JSON object");
        foreach (var member in body.HasRoot && faults.Count == 0 ? body.Root.EnumerateObject().ToArray() : [])
        {
            var name = Known.Of(member);
            if (member.Value.ValueKind == JsonValueKind.Null && Known.Has(name))
                continue;
            filtered |= name != "ids";
            switch (name)
            {
                case "ids":
                    ids = faults.Ids(member.Value, name, TaskQueryReader.MaxLimit);
                    break;
                case "status":
                    if (member.Value.ValueKind == JsonValueKind.String && member.Value.ValueEquals("failed"))
                        query = query with { Statuses = [TaskState.Failed] };
                    else if (member.Value.ValueKind == JsonValueKind.String && member.Value.ValueEquals("timeout"))
                        query = query with { Statuses = [TaskState.Timeout] };
                    else
                        faults.Add(name, "must be failed or timeout", member.Value);
                    break;
                case "scope":
                    query = query with { Scope = faults.Text(member.Value, name, TaskLimits.MaxName) };
                    break;
                case "requester":
                    query = query with { Requester = faults.Text(member.Value, name, TaskLimits.MaxName) };
                    break;
                case "limit":
                    query = query with { Limit = (int)faults.Number(member.Value, name, 1, TaskQueryReader.MaxLimit) };
                    break;
                default:
                    faults.Unknown(name, Known.All);
                    break;
            }
        }

        if (ids is not null && filtered)
            faults.Add("ids", "goes without a filter");
        faults.ThrowIfAny();
        return new RedriveRequest(ids, query);
    }
}
