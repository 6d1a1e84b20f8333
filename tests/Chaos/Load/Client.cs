using System.Text.Json;
using System.Text.Json.Nodes;
using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Wire;
using TaskStatus = Dispatch.Chaos.Histories.TaskStatus;

namespace Dispatch.Chaos.Load;

/// <summary>
/// Submits, repeats what it heard no answer to, cancels, retries and looks. It knows only what it was told.
/// </summary>
/// <param name="acknowledged">Told of every task the broker acknowledged.</param>
public sealed class Client(Caller caller, Random random, TaskBudget budget, Action<string> acknowledged)
{
    private const int Memory = 400;
    private readonly OrderBook orders = new(caller.Actor, random);
    private readonly Queue<Order> unsettled = [];
    private readonly List<Order> settled = [];
    private readonly List<string> mine = [];
    private readonly List<string> undone = [];

    /// <param name="stop">Ends the loop between two operations.</param>
    /// <param name="cancel">Ends it at once.</param>
    public async Task RunAsync(CancellationToken stop, CancellationToken cancel)
    {
        while (!stop.IsCancellationRequested)
        {
            await ActAsync(cancel);
            if (random.Next(4) is > 0 and var pause)
                await Task.Delay(pause, cancel);
        }
    }

    private Task ActAsync(CancellationToken cancel)
    {
        if (unsettled.Count > 0 && random.Next(2) == 0)
            return SubmitAsync(unsettled.Dequeue(), cancel);
        return random.Next(100) switch
        {
            < 40 => SubmitNewAsync(orders.Single(mine), hangUp: false, cancel),
            < 48 => SubmitNewAsync(orders.Bulk(mine), hangUp: false, cancel),
            < 51 => SubmitNewAsync(orders.Single(mine), hangUp: true, cancel),
            < 56 when settled.Count > 0 => SubmitAsync(Pick(settled), cancel),
            < 58 when settled.Count > 0 => ForgeAsync(cancel),
            < 68 when mine.Count > 0 => CancelAsync(Pick(mine), cancel),
            < 76 when undone.Count > 0 => RetryAsync(cancel),
            _ when mine.Count > 0 => LookAsync(Pick(mine), cancel),
            _ => SubmitNewAsync(orders.Single(mine), hangUp: false, cancel),
        };
    }

    private async Task SubmitNewAsync(Order order, bool hangUp, CancellationToken cancel)
    {
        if (!budget.TryTake(order.What.Tasks.Count))
        {
            if (mine.Count > 0)
                await LookAsync(Pick(mine), cancel);
        }
        else if (hangUp)
        {
            await caller.HangUpAsync(order.What, To(order), TimeSpan.FromMilliseconds(random.Next(3)), cancel);
            Unsettle(order);
        }
        else
        {
            await SubmitAsync(order, cancel);
        }
    }

    private async Task SubmitAsync(Order order, CancellationToken cancel)
    {
        var done = await caller.PerformAsync(order.What, To(order), reply => ReadSubmitted(order, reply), cancel);
        if (done.Answer is Answer.Submitted answer)
        {
            foreach (var id in answer.Ids)
            {
                acknowledged(id);
                Remember(mine, id);
            }

            if (order.IsRepeatable)
                Remember(settled, order);
        }
        else
        {
            Unsettle(order);
        }
    }

    private async Task ForgeAsync(CancellationToken cancel)
    {
        if (Pick(settled).What.Tasks.FirstOrDefault(task => task.Key is not null) is not { } original)
            return;
        var order = orders.Forged(original);
        await caller.PerformAsync(order.What, To(order), reply => ReadSubmitted(order, reply), cancel);
    }

    private async Task CancelAsync(string task, CancellationToken cancel)
    {
        var body = new JsonObject { ["status"] = TaskStatus.Cancelled };
        var done = await caller.PerformAsync(new Invocation.Cancel(task), new Sending("PATCH", "/api/v1/tasks/" + task, body), ReadSeen, cancel);
        if (done.IsOk)
            Remember(undone, task);
    }

    private async Task RetryAsync(CancellationToken cancel)
    {
        var at = random.Next(undone.Count);
        var task = undone[at];
        undone.RemoveAt(at);
        await caller.PerformAsync(new Invocation.Retry(task), new Sending("POST", $"/api/v1/tasks/{task}/retry"), ReadSeen, cancel);
    }

    private async Task LookAsync(string task, CancellationToken cancel)
    {
        var done = await caller.PerformAsync(new Invocation.Look(task), new Sending("GET", "/api/v1/tasks/" + task), ReadSeen, cancel);
        if (done.Answer is Answer.Seen { Task: { IsFinal: true, Status: not TaskStatus.Completed } })
            Remember(undone, task);
    }

    /// <summary>Without a key or an id a repeat would be a second task, so such a one is left alone.</summary>
    private void Unsettle(Order order)
    {
        if (order.IsRepeatable)
            unsettled.Enqueue(order);
    }

    private T Pick<T>(List<T> from) => from[random.Next(from.Count)];

    private void Remember<T>(List<T> list, T item)
    {
        if (list.Count < Memory)
            list.Add(item);
        else
            list[random.Next(Memory)] = item;
    }

    internal static Sending To(Order order) => new("POST", "/api/v1/tasks", order.Body);

    private static Answer ReadSeen(Reply reply) => new Answer.Seen(reply.Json().ReadSight());

    internal static Answer ReadSubmitted(Order order, Reply reply)
    {
        var json = reply.Json();
        var tasks = order.IsBulk ? json.EnumerateArray().ToList() : [json];
        var tokens = tasks.ConvertAll(task => task.Token());
        if (!tokens.SequenceEqual(order.What.Tasks.Select(task => task.Token)))
            throw new JsonException($"submitted {string.Join(' ', order.What.Tasks.Select(task => task.Token))}, got {string.Join(' ', tokens)}");
        return new Answer.Submitted(tasks.ConvertAll(task => task.Text("id")), Existed: reply.Status == 200);
    }
}
