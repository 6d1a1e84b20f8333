using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Dispatch.Host.Telemetry;

/// <summary>What the process itself uses, under the names that Prometheus' own client libraries gave these.</summary>
internal static class ProcessInstruments
{
    public static void AddTo(Meter meter)
    {
        double started = Started();
        string version = meter.Version ?? "";

        meter.CreateObservableGauge("process_resident_memory_bytes", () => Environment.WorkingSet, description: "Resident memory.");
        meter.CreateObservableCounter("process_cpu_seconds_total", () => Environment.CpuUsage.TotalTime.TotalSeconds, description: "Processor time, user and system.");
        meter.CreateObservableGauge("process_start_time_seconds", () => started, description: "Start of the process in seconds since 1970.");
        meter.CreateObservableGauge("dotnet_gc_heap_bytes", () => GC.GetTotalMemory(forceFullCollection: false), description: "Managed memory in use.");
        meter.CreateObservableCounter("dotnet_gc_pause_seconds_total", () => GC.GetTotalPauseDuration().TotalSeconds, description: "Time the program stood still for collections.");
        meter.CreateObservableCounter("dotnet_gc_collections_total", Collections, description: "Collections, by generation.");
        meter.CreateObservableGauge("dotnet_threadpool_queue_length", () => ThreadPool.PendingWorkItemCount, description: "Work that waits for a pool thread.");
        meter.CreateObservableGauge("dispatch_build_info", () => new Measurement<int>(1, new KeyValuePair<string, object?>("version", version)), description: "Always 1; the label tells the version.");
    }

    private static double Started()
    {
        using var process = Process.GetCurrentProcess();
        return new DateTimeOffset(process.StartTime).ToUnixTimeMilliseconds() / 1000.0;
    }

    private static IEnumerable<Measurement<long>> Collections()
    {
        for (int generation = 0; generation <= GC.MaxGeneration; generation++)
        {
            // Each count includes those of the older generations; as labels of one metric they must not.
            long older = generation == GC.MaxGeneration ? 0 : GC.CollectionCount(generation + 1);
            yield return new Measurement<long>(
                GC.CollectionCount(generation) - older, new KeyValuePair<string, object?>("generation", generation.ToString()));
        }
    }
}
