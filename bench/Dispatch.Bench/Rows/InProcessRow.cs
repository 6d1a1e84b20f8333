using System.Diagnostics;
using Dispatch.Bench.Load;
using Dispatch.Bench.Measuring;
using Dispatch.Bench.Reporting;
using Dispatch.Bench.Wire;
using Dispatch.Events;
using Dispatch.Host;
using Dispatch.Host.Bus;
using Dispatch.Host.Configuration;
using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Sqlite;
using Microsoft.Extensions.Logging;

namespace Dispatch.Bench.Rows;

/// <summary>A broker inside this process: how soon a handler has what was published, how much ten of them take, and what chaining the log costs.</summary>
internal static class InProcessRow
{
    private const int PerSecond = 200;
    private const int Handlers = 10;

    public static async Task<RowResult> RunAsync(Bench bench)
    {
        var near = await PublishAsync(bench);
        var many = await FanOutAsync(bench);
        var chain = await ChainAsync(bench);
        return new RowResult([.. near.Measures, .. many.Measures, .. chain.Measures], [.. near.Notes, .. many.Notes, .. chain.Notes]);
    }

    // One at a time, on an idle broker: the commit and its fsync are part of it.
    private static async Task<RowResult> PublishAsync(Bench bench)
    {
        var latency = new LatencyHistogram();
        var store = bench.NewDirectory();
        await using (var broker = await StartAsync(bench, store))
        {
            var uncounted = (int)(PerSecond * bench.Arguments.WarmUp.TotalSeconds);
            var count = (int)(PerSecond * bench.Arguments.Time.TotalSeconds) + uncounted;
            var arrived = new SemaphoreSlim(0);
            using var seen = broker.Events.Subscribe<Tick>(EventFilter.All, (happened, _) =>
            {
                var now = Stopwatch.GetTimestamp();
                if (happened.Data.Number >= uncounted)
                    latency.Record(happened.Data.At, now);
                arrived.Release();
                return Task.CompletedTask;
            });
            using var pace = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / PerSecond));
            for (var number = 0; number < count; number++)
            {
                await pace.WaitForNextTickAsync(bench.Cancellation);
                await broker.Events.PublishAsync(new Tick(number, Stopwatch.GetTimestamp()), "clock", cancel: bench.Cancellation);
                await arrived.WaitAsync(bench.Cancellation);
            }
        }

        Directory.Delete(store, recursive: true);
        return new RowResult(
            [new Measure("in process", $"publish to handler at {PerSecond}/s, p99", latency.PercentileMs(99), "ms") { Must = 1, Aim = 0.3, Bare = bench.Bare.PacedP99Ms }],
            [$"{latency.Count:#,0} events, p50 {latency.PercentileMs(50):0.00} ms, worst {latency.MaximumNs / 1e6:0.00} ms; from the call of PublishAsync to the handler's, the commit with its fsync included"]);
    }

    private static async Task<RowResult> FanOutAsync(Bench bench)
    {
        var tasks = bench.Arguments.Quick ? 50_000 : 200_000;
        var store = bench.NewDirectory();
        double seconds;
        long events;
        await using (var broker = await StartAsync(bench, store))
        {
            var counts = new long[Handlers * 16]; // a cache line each
            var subscriptions = Enumerable.Range(0, Handlers).Select(handler => broker.Events.Subscribe(EventFilter.All, (_, _) =>
            {
                counts[handler * 16]++;
                return Task.CompletedTask;
            })).ToList();
            await FillAsync(tasks / 10);
            Array.Clear(counts);
            var began = Stopwatch.GetTimestamp();
            events = await FillAsync(tasks);
            seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
            for (var handler = 0; handler < Handlers; handler++)
            {
                if (Volatile.Read(ref counts[handler * 16]) != events)
                    throw new RunFailedException($"Handler {handler} had {counts[handler * 16]} of {events} events.");
            }

            foreach (var subscription in subscriptions)
                subscription.Dispose();

            async Task<long> FillAsync(int wanted)
            {
                var before = broker.Events.Handlers[0] is var one ? one.Position + one.Lag : 0;
                await Task.Run(() =>
                {
                    using var loop = new EventLoop(bench.Cancellation);
                    var target = Target.At(broker.Url.ToString());
                    ClosedLoop.Fill(loop, target, TaskRequest.BulkWithContext(target, 1_000, 100), wanted);
                });
                while (broker.Events.Handlers.Any(handler => handler.Lag > 0))
                    await Task.Delay(1, bench.Cancellation);
                return broker.Events.Handlers[0].Position - before;
            }
        }

        Directory.Delete(store, recursive: true);
        return new RowResult(
            [new Measure("in process", $"fan-out to {Handlers} handlers", Handlers * events / seconds, "/s") { Must = 500_000, Aim = 2_000_000 }],
            [$"{events:#,0} events of {tasks:#,0} tasks submitted in bulk over HTTP meanwhile, each to {Handlers} handlers, in {seconds:0.00} s; load, broker and handlers in one process"]);
    }

    // The hashes of a real log computed once more, alone, against all that the broker's processor time went into.
    private static async Task<RowResult> ChainAsync(Bench bench)
    {
        var store = bench.NewDirectory();
        var (lives, cores, seconds) = await bench.OnStoreAsync(store, async broker =>
        {
            await LifeRow.LiveAsync(bench, broker, "warm", bench.Arguments.WarmUp);
            var window = Window.Open(broker.Gauge);
            var life = await LifeRow.LiveAsync(bench, broker, "life", bench.Arguments.Time / 2);
            var figures = window.Close();
            return (life.Rate * figures.Seconds, figures.ServerCores, figures.Seconds);
        });

        long hashed = 0;
        var ticks = 0L;
        await using (IStore log = await bench.DatabaseOfAsync(store) is { } address
            ? PostgresStore.OpenForReading(new PostgresStoreOptions { Url = address }, TimeProvider.System)
            : SqliteStore.OpenForReading(new SqliteStoreOptions { Path = Path.Combine(store, "data", "dispatch.db") }))
        {
            var chain = new HashChain(HashChain.Start);
            var after = 0L;
            while (await log.ListEventsAsync(after, 1_000, bench.Cancellation) is { Count: > 0 } entries)
            {
                var began = Stopwatch.GetTimestamp();
                foreach (var entry in entries)
                    chain.Add(entry);
                ticks += Stopwatch.GetTimestamp() - began;
                hashed += entries.Count;
                after = entries[^1].Sequence;
                if (!chain.Last.SequenceEqual(entries[^1].Hash))
                    throw new RunFailedException($"The hash of event {after} is not the one in the log.");
            }
        }

        Directory.Delete(store, recursive: true);
        const double EventsOfALife = 3; // created, assigned, completed
        var perEvent = ticks / (double)Stopwatch.Frequency / hashed;
        var share = perEvent * EventsOfALife * lives / (cores * seconds);
        return new RowResult(
            [new Measure("in process", "hash chain, of the broker's work on whole lives", share * 100, "%") { Must = 5, Aim = 2 }],
            [$"{perEvent * 1e6:0.00} us an event over {hashed:#,0} events of a real log, {EventsOfALife} events a life, against {cores * seconds / lives * 1e6:0.0} us of the broker's processor time a life"]);
    }

    private static async Task<Broker> StartAsync(Bench bench, string directory) => await Broker.StartAsync(
        new DispatchConfig
        {
            Server = new ServerSettings { Port = 0, MetricsPort = 0 },
            Database = new DatabaseSettings { Url = await bench.DatabaseOfAsync(directory) ?? $"sqlite://{directory}/dispatch.db", Directory = directory },
            Limits = new LimitSettings { RequestsPerSecond = 0 },
            Logging = new LoggingSettings { Level = LogLevel.Warning },
        },
        TimeProvider.System, bench.Cancellation, Stream.Null, compose: static services => services.AddEventSource("bench").AddEvent<Tick>("bench.ticked"));

    private sealed record Tick(int Number, long At);
}
