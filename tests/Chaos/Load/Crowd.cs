using System.Collections.Concurrent;
using Dispatch.Chaos.Histories;
using Dispatch.Chaos.Wire;

namespace Dispatch.Chaos.Load;

/// <summary>All clients and workers of a run.</summary>
public sealed class Crowd : IDisposable
{
    private readonly List<Caller> callers = [];
    private readonly List<Client> clients = [];
    private readonly List<Worker> workers = [];
    private readonly List<Task> submitting = [];
    private readonly List<Task> working = [];
    private readonly CancellationTokenSource stopClients = new();
    private readonly CancellationTokenSource stopWorkers = new();
    private readonly ConcurrentQueue<string> acknowledged = new();
    private TaskCompletionSource? next;

    /// <param name="histories">Directory of the actors' files.</param>
    /// <param name="leaseMs">The broker's lease.</param>
    /// <param name="ports">Those of the nodes that they talk to.</param>
    public Crowd(CrashOptions options, IReadOnlyList<int> ports, string histories, int leaseMs, RunClock clock)
    {
        var random = new Random(options.Seed);
        for (var number = 1; number <= options.Clients; number++)
            clients.Add(new Client(Join($"client-{number}"), new Random(random.Next()), Budget, Acknowledge));
        for (var number = 1; number <= options.Workers; number++)
        {
            // The first two share out the capabilities; the others have both, except every fourth, which has none.
            IReadOnlyList<string> capabilities = number <= 2 ? [OrderBook.Capabilities[number - 1]] : number % 4 == 0 ? [] : OrderBook.Capabilities;
            workers.Add(new Worker(Join($"worker-{number}"), capabilities, NameToBorrow(number, options.Workers), leaseMs, new Random(random.Next()), clock));
        }

        Caller Join(string name)
        {
            var caller = new Caller(name, new NodeChoice(ports, new Random(options.Seed + callers.Count)), new HistoryFile(name, histories, clock));
            callers.Add(caller);
            return caller;
        }
    }

    public TaskBudget Budget { get; } = new();

    /// <summary>What ended an actor, if one ended by itself; null while all go on.</summary>
    public Exception? Fault => submitting.Concat(working).FirstOrDefault(actor => actor.IsFaulted)?.Exception?.InnerException;

    public void Start(CancellationToken cancel)
    {
        submitting.AddRange(clients.Select(client => client.RunAsync(stopClients.Token, cancel)));
        working.AddRange(workers.Select(worker => worker.RunAsync(stopWorkers.Token, cancel)));
    }

    /// <summary>The ids acknowledged since the last call, oldest first.</summary>
    public IReadOnlyList<string> TakeAcknowledged()
    {
        var taken = new List<string>();
        while (acknowledged.TryDequeue(out var id))
            taken.Add(id);
        return taken;
    }

    /// <summary>
    /// Completes as soon as the next task has been acknowledged and its client has written that down. What awaits it goes on
    /// within microseconds: it is then that an acknowledgement that came too early does harm.
    /// </summary>
    public Task NextAcknowledgementAsync() => (next = new TaskCompletionSource()).Task;

    /// <summary>Every second worker stops speaking for longer than a lease.</summary>
    public void FallSilent()
    {
        foreach (var worker in workers.Where((_, index) => index % 2 == 0))
            worker.FallSilent();
    }

    /// <summary>No more is submitted, and the workers do nothing but their work.</summary>
    public async Task CalmAsync()
    {
        await stopClients.CancelAsync();
        foreach (var worker in workers)
            worker.BeHonest();
        await Task.WhenAll(submitting).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Nobody says anything any more. What went wrong with an actor stays in <see cref="Fault"/>.</summary>
    public async Task StopAsync()
    {
        await CalmAsync();
        await stopWorkers.CancelAsync();
        await Task.WhenAll(working).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var caller in callers)
            caller.Dispose();
    }

    private void Acknowledge(string id)
    {
        acknowledged.Enqueue(id);
        Interlocked.Exchange(ref next, null)?.TrySetResult();
    }

    /// <summary>
    /// A lie in a silent worker's name would be a sign of life of that worker. Every second one falls silent at a time, so a
    /// worker borrows the name of one that is silent when it is; where there is none, that of an agent nobody registered.
    /// </summary>
    private static string NameToBorrow(int number, int workers) =>
        number + 2 <= workers ? $"worker-{number + 2}" : number > 2 ? $"worker-{2 - (number % 2)}" : "intruder";

    public void Dispose()
    {
        stopClients.Dispose();
        stopWorkers.Dispose();
    }
}
