using System.Globalization;
using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>What the writer knows of the log without asking: the horizon, and what the log takes. Used by one thread at a time.</summary>
internal sealed class LogState
{
    private long marked;
    private long bytes;

    /// <summary>Sequence of the oldest event that is kept.</summary>
    internal long Horizon { get; private set; } = 1;

    internal async Task LoadAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        var meta = await LogRows.MetaAsync(connection, cancel);
        Horizon = meta.Horizon;
        bytes = await LogRows.BytesAsync(connection, meta, cancel);
        marked = 0;
    }

    /// <summary>Adds what a batch changes in <c>meta</c>.</summary>
    internal void AddTo(NpgsqlBatch commands, Batch batch)
    {
        for (var i = 0; i < batch.Events.Count; i++)
            bytes += LogMark.BytesOf(batch.Texts[i].Length);

        // What is deleted can't be counted any more: a mark stands behind it.
        if (bytes - marked >= LogMark.Every || batch.Horizon is not null)
        {
            LogRows.AddMeta(commands, LogMark.Key, LogMark.Write(batch.LastSequence, bytes));
            marked = bytes;
        }

        if (batch.Horizon is { } moved)
        {
            LogRows.AddMeta(commands, "log_horizon", moved.ToString(CultureInfo.InvariantCulture));
            Horizon = moved;
        }
    }

    /// <summary>Refuses a horizon that nothing was prepared for. Only this writer prepares, so that it still holds when the batch is written.</summary>
    /// <exception cref="StoreException">There is no base, or what is kept still needs the events before.</exception>
    internal async Task DemandPreparedAsync(NpgsqlConnection connection, long to, CancellationToken cancel)
    {
        var meta = await LogRows.MetaAsync(connection, cancel);
        var bases = await LogRows.BasesAsync(connection, to - 1, cancel);
        if (to <= meta.Horizon || meta.Prepared < to - 1 || bases.FirstOrDefault()?.Sequence != to - 1)
        {
            throw new StoreException(
                StoreFault.Unavailable, $"The horizon can't move from {meta.Horizon} to {to}: there is no base, or what is kept still needs the events before. Nothing was written; the state has to be loaded again.");
        }
    }
}
