using System.Threading.Channels;
using Dispatch.Sequencing;

namespace Dispatch.Storage.Copying;

/// <summary>A store that is copied, as of one moment, held so that no broker writes it meanwhile. One call at a time.</summary>
internal interface ICopySource : IAsyncDisposable
{
    /// <summary>For people: where it is, without a password.</summary>
    string Where { get; }

    /// <summary>Last event, 0 for an empty log, with its hash (hexadecimal, empty for an empty log), and the oldest event that is kept.</summary>
    Task<CopyEnd> FindEndAsync(CancellationToken cancel);

    /// <summary>The hash of an event, hexadecimal; null when it is not there.</summary>
    Task<string?> FindHashAsync(long sequence, CancellationToken cancel);

    /// <summary>Rows that count.</summary>
    Task<long> CountAsync(StoreTable table, long horizon, CancellationToken cancel);

    /// <summary>Reads the rows that count, from a place in their order on, block by block; returns when all are taken.</summary>
    Task ReadAsync(StoreTable table, long horizon, long? from, ChannelWriter<RowBlock> blocks, CancellationToken cancel);
}

/// <summary>A store that becomes a copy, held as by a broker that writes it. One call at a time. What was written is durable when a call returns.</summary>
internal interface ICopyTarget : IAsyncDisposable
{
    /// <summary>For people: where it is, without a password.</summary>
    string Where { get; }

    /// <summary>Null when it is no unfinished copy.</summary>
    Task<CopyMark?> FindMarkAsync(CancellationToken cancel);

    /// <summary>Writes the mark; null removes it.</summary>
    Task MarkAsync(CopyMark? mark, CancellationToken cancel);

    /// <summary>Last event and horizon, as <see cref="ICopySource.FindEndAsync"/>.</summary>
    Task<CopyEnd> FindEndAsync(CancellationToken cancel);

    Task<long> CountAsync(StoreTable table, long horizon, CancellationToken cancel);

    /// <summary>The last row's place in the order of the table; null when there is no row.</summary>
    Task<long?> FindLastAsync(StoreTable table, CancellationToken cancel);

    /// <summary>Deletes the rows from a place on; null: all of them.</summary>
    Task ClearAsync(StoreTable table, long? from, CancellationToken cancel);

    /// <summary>Makes room for events between these.</summary>
    Task MakeRoomAsync(long first, long last, CancellationToken cancel);

    /// <summary>Writes rows until there are no more or it is cancelled; what was taken until then is written all the same.</summary>
    /// <param name="written">Told of so many rows more that are durable.</param>
    Task WriteAsync(StoreTable table, ChannelReader<RowBlock> blocks, Action<long> written, CancellationToken cancel);

    /// <summary>Makes what follows from the copied tables.</summary>
    Task DeriveAsync(CancellationToken cancel);

    /// <summary>Opens it to be looked at while it is still marked.</summary>
    IStore OpenForReading();
}

/// <param name="Sequence">Of the last event; 0 for an empty log.</param>
/// <param name="Hash">Of that event, hexadecimal; empty for an empty log.</param>
/// <param name="Horizon">Sequence of the oldest event that is kept; 1 while all are.</param>
internal sealed record CopyEnd(long Sequence, string Hash, long Horizon);
