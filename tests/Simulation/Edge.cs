using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Simulation;

/// <summary>
/// The way to the broker and back, which loses things, and what the host does at its door: read facts and ask again, read what is not in
/// memory, wait until an agent is called, notice a dropped connection.
/// </summary>
internal sealed class Edge(Universe universe, Random random)
{
    private const int FactReads = 10;

    public Task<Reply<SubmitOutcome>> SubmitAsync(string caller, IReadOnlyList<NewTask> tasks) => RequestAsync(async broker =>
    {
        List<TaskId> ids = [];
        List<IdempotencyKey> keys = [];
        foreach (var task in tasks)
        {
            if (task.Id is { } id)
                ids.Add(id);
            if (task.Parent is { } parent)
                ids.Add(parent);
            ids.AddRange(task.DependsOn);
            if (task.Spec.IdempotencyKey is { } key)
                keys.Add(new IdempotencyKey(caller, key));
        }

        SubmitOutcome outcome = new SubmitOutcome.NeedsFacts();
        for (var read = 0; read < FactReads && outcome is SubmitOutcome.NeedsFacts; read++)
        {
            if (read > 0)
                universe.Reached(Situation.SubmitNeededFacts);
            var facts = ids.Count + keys.Count == 0 ? null : await broker.Store.FindFactsAsync(ids, keys, CancellationToken.None);
            outcome = await broker.ExecuteAsync(new SubmitTasks(tasks, facts) { Caller = caller });
        }

        return outcome;
    });

    public Task<Reply<ChangeOutcome>> RetryAsync(string? caller, TaskId id) => RequestAsync<ChangeOutcome>(async broker =>
    {
        for (var read = 0; read < FactReads; read++)
        {
            if (read > 0)
                universe.Reached(Situation.RetryNeededFacts);
            var facts = await broker.Store.FindFactsAsync([id], [], CancellationToken.None);
            if (!facts.Tasks.TryGetValue(id, out var stored))
            {
                if (universe.Ledger.WasRemoved(id))
                    universe.Reached(Situation.RetryOfRemovedTask);
                return new ChangeOutcome.NotLive();
            }

            if (!stored.Task.IsFinal)
                return new ChangeOutcome.WrongState(stored.Task.Status);
            var dependencies = stored.Task.DependsOn.Length == 0 ? null : await broker.Store.FindFactsAsync(stored.Task.DependsOn, [], CancellationToken.None);
            var outcome = await broker.ExecuteAsync(new RetryTask(stored, facts.AsOf) { Facts = dependencies, Caller = caller, ByAdmin = caller is null });
            if (outcome is not ChangeOutcome.NeedsFacts)
                return outcome;
        }

        return new ChangeOutcome.NeedsFacts();
    });

    public Task<Reply<ChangeOutcome>> PatchAsync(string caller, TaskId id, byte? priority, JsonBytes? context) => RequestAsync<ChangeOutcome>(async broker =>
    {
        for (var read = 0; read < FactReads; read++)
        {
            if (read > 0)
                universe.Reached(Situation.PatchNeededFacts);
            var before = context is null ? null : await broker.Store.FindTaskAsync(id, CancellationToken.None);
            if (context is not null && before is null)
                return new ChangeOutcome.NotLive();
            var outcome = await broker.ExecuteAsync(new PatchTask(id, priority, context, before) { Caller = caller });
            if (outcome is not ChangeOutcome.NeedsFacts)
                return outcome;
        }

        return new ChangeOutcome.NeedsFacts();
    });

    public Task<Reply<AnswerOutcome>> AnswerAsync(AnswerQuestion answer, Question question) => RequestAsync<AnswerOutcome>(async broker =>
    {
        if (!question.IsOfTask)
            return await broker.ExecuteAsync(answer);
        for (var read = 0; read < FactReads; read++)
        {
            var about = await broker.Store.FindTaskAsync(TaskId.TryParse(question.About, out var id) ? id : default, CancellationToken.None);
            var outcome = await broker.ExecuteAsync(new ConfirmTask(answer, about) { Caller = answer.Caller, ByAdmin = answer.ByAdmin });
            if (outcome is not AnswerOutcome.NeedsFacts)
                return outcome;
            universe.Reached(Situation.AnswerNeededFacts);
        }

        return new AnswerOutcome.NeedsFacts();
    });

    public Task<Reply<ChangeOutcome>> CancelAsync(string? caller, TaskId id) =>
        ExecuteAsync(new CancelTask(id, "not wanted any more") { Caller = caller, ByAdmin = caller is null });

    /// <summary>A report; one on a task that is not in memory is judged by the store.</summary>
    public Task<Reply<ReportVerdict>> ReportAsync(string caller, TaskReport report, bool byAdmin) => RequestAsync(async broker =>
    {
        var outcome = await broker.ExecuteAsync(new ReportTask(Fenced(report)) { Caller = caller, ByAdmin = byAdmin || universe.Bug == Bug.FenceRemoved });
        if (outcome.Verdict != ReportVerdict.NotLive)
            return outcome.Verdict;
        universe.Reached(Situation.ReportOnFinished);
        var stored = await broker.Store.FindTaskAsync(report.Task, CancellationToken.None);
        return stored is null ? ReportVerdict.NotLive : Reporting.WhyNot(stored.Task, report, caller);
    });

    /// <summary>Spending told apart from a task's end, by the agent or by an admin for it.</summary>
    public Task<Reply<UsageOutcome>> ReportUsageAsync(ReportUsage report, bool byAdmin) => RequestAsync<UsageOutcome>(async broker =>
    {
        for (var read = 0; read < FactReads; read++)
        {
            if (read > 0)
                universe.Reached(Situation.UsageNeededFacts);
            var facts = await broker.Store.FindUsageAsync(byAdmin ? "admin" : report.Agent, report.Id, report.Task, CancellationToken.None);
            var outcome = await broker.ExecuteAsync(report with { Facts = facts, Caller = byAdmin ? null : report.Agent, ByAdmin = byAdmin });
            if (outcome is not UsageOutcome.NeedsFacts)
                return outcome;
        }

        return new UsageOutcome.NeedsFacts();
    });

    /// <summary>The worker's round trip, waiting until there is something when <paramref name="wait"/> allows.</summary>
    public async Task<Reply<ExchangeOutcome?>> ExchangeAsync(ExchangeWork exchange, TimeSpan wait)
    {
        var reply = await RequestAsync(async broker =>
        {
            var call = broker.NextCall(exchange.Id);
            var began = universe.Scheduler.Ticks;
            var outcome = await broker.ExecuteAsync(exchange);
            while (outcome is { Tasks.Count: 0, Revoked.Count: 0, Wake: false } && exchange.Reports.Count == 0 && exchange.Max > 0)
            {
                var left = wait - TimeSpan.FromTicks(universe.Scheduler.Ticks - began);
                if (left <= TimeSpan.Zero)
                    break;
                universe.Reached(Situation.WaitedForWork);
                await broker.WaitForCallAsync(call, left);
                call = broker.NextCall(exchange.Id);
                outcome = await broker.ExecuteAsync(exchange with { Reports = [], Status = null, Resumed = true });
            }

            if (outcome is null)
                return null;
            foreach (var task in outcome.Tasks)
            {
                if (task.Spec is not null)
                    continue;
                universe.Reached(Situation.SpecReadBackFromStore);
                if ((await broker.Store.FindSpecsAsync([task.Task.Number], CancellationToken.None))[0] is null && universe.Disk.Find(task.Task.Id) is not null)
                    universe.Fail("I-1", $"The payload of task {task.Task.Id} is neither in memory nor in the store.");
            }

            return outcome;
        });
        if (reply.Certainty == Certainty.Unknown && random.Chance(0.5))
            ConnectionDropped(exchange.Id);
        return reply;
    }

    public Task<Reply<T>> ExecuteAsync<T>(Command<T> command) => RequestAsync(broker => broker.ExecuteAsync(command));

    /// <summary>One request: there, through the handler in the broker's process, and back.</summary>
    public async Task<Reply<T>> RequestAsync<T>(Func<Broker, Task<T>> handler)
    {
        await TravelAsync();
        if (random.Chance(universe.Weather.RequestLost))
            return new Reply<T>(Certainty.Unknown, default);
        if (universe.Broker is not { IsReady: true } broker)
            return new Reply<T>(Certainty.Refused, default);

        var answer = new TaskCompletionSource<Reply<T>>();
        broker.Post(async () =>
        {
            try
            {
                answer.TrySetResult(new Reply<T>(Certainty.Answered, await handler(broker)));
            }
            catch (RefusedException refused)
            {
                if (refused.Refusal == Refusal.Busy)
                    universe.Reached(Situation.QueueFull);
                else if (refused.Refusal == Refusal.StoreUnavailable)
                    universe.Reached(Situation.RefusedWhileStoreLost);
                answer.TrySetResult(new Reply<T>(refused.Refusal == Refusal.Unknown ? Certainty.Unknown : Certainty.Refused, default, refused.Refusal));
            }
            catch (StoreException)
            {
                // A read failed, before a command or after one: the client can't tell.
                answer.TrySetResult(new Reply<T>(Certainty.Unknown, default));
            }
        });
        await Task.WhenAny(answer.Task, broker.Died);
        if (!answer.Task.IsCompleted)
            return new Reply<T>(Certainty.Unknown, default);

        var reply = await answer.Task;
        await TravelAsync();
        return random.Chance(universe.Weather.AnswerLost) ? new Reply<T>(Certainty.Unknown, default) : reply;
    }

    private void ConnectionDropped(string agent)
    {
        if (universe.Broker is not { IsReady: true } broker)
            return;
        broker.Post(async () =>
        {
            await Task.Delay(TimeSpan.FromMilliseconds(500), broker.Clock);
            try
            {
                if (await broker.ExecuteAsync(new ReturnUnstarted(agent, SilentMs: 500)) > 0)
                    universe.Reached(Situation.ConnectionDroppedWithWork);
            }
            catch (RefusedException)
            {
                // As in the host: the lease takes care of it.
            }
        });
    }

    // Planted: an edge that thinks the attempt number does not matter.
    private TaskReport Fenced(TaskReport report) => universe.Bug == Bug.FenceRemoved ? report with { Attempt = null } : report;

    private Task TravelAsync() => universe.DelayAsync(random.NextDouble() * universe.Weather.NetworkMs);
}
