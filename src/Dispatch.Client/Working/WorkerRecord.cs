namespace Dispatch.Client;

/// <summary>Keeps a worker's statistics: written by its loop alone, read by anybody.</summary>
internal sealed class WorkerRecord
{
    private volatile WorkerStatistics statistics = new();

    public WorkerStatistics Statistics => statistics;

    public void Note(Func<WorkerStatistics, WorkerStatistics> change) => statistics = change(statistics);
}
