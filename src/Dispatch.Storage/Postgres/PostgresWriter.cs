using System.Globalization;
using System.Security.Cryptography;
using Dispatch.Sequencing;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// Everything that writes, one piece of work after another, on the one connection that holds the writer's place. A lost connection is replaced by one
/// with a new epoch: what the old one still had under way can't happen any more, so that what was committed can be read.
/// </summary>
internal sealed class PostgresWriter : IAsyncDisposable
{
    /// <summary>How long a commit whose outcome is not known is looked for before it is told as unknown.</summary>
    private static readonly TimeSpan SettlePatience = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LockPause = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan SettlePause = TimeSpan.FromMilliseconds(100);

    private readonly Connections connections;
    private readonly PostgresStoreOptions options;
    private readonly TimeProvider clock;
    private readonly string holder;
    private readonly SemaphoreSlim gate = new(1, 1);
    private readonly CancellationTokenSource closing = new();
    private readonly Task renewing;
    private WriterSession? session;
    private long probes;

    private PostgresWriter(Connections connections, PostgresStoreOptions options, TimeProvider clock, string holder, WriterSession session)
    {
        this.connections = connections;
        this.options = options;
        this.clock = clock;
        this.holder = holder;
        this.session = session;
        Epoch = session.Epoch;
        renewing = RenewAsync();
    }

    /// <summary>The epoch of the last connection that held the writer's place.</summary>
    internal long Epoch { get; private set; }

    /// <exception cref="StoreException">The database can't be used, or another broker holds the place.</exception>
    internal static async Task<PostgresWriter> OpenAsync(Connections connections, PostgresStoreOptions options, TimeProvider clock, CancellationToken cancel)
    {
        var holder = options.Holder ?? $"{Environment.MachineName}, process {Environment.ProcessId}, {Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}";
        for (var began = clock.GetTimestamp(); ; await Task.Delay(LockPause, clock, cancel))
        {
            try
            {
                var session = await WriterSession.OpenAsync(connections, options, holder, migrates: true, clock, cancel);
                return new PostgresWriter(connections, options, clock, holder, session);
            }
            catch (StoreException refusal) when (refusal.Fault == StoreFault.Locked && clock.GetElapsedTime(began) < options.LockPatience)
            {
                // The session of a process that was killed ends when the server notices.
            }
            catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
            {
                throw PostgresFaults.Translate(refusal, connections.Where);
            }
        }
    }

    /// <summary>Writes the batch: all of it durable on return, or nothing.</summary>
    /// <exception cref="StoreException">It failed, or (kind Unknown) its outcome is not known.</exception>
    /// <exception cref="OperationCanceledException">The wait was given up before it began; it will not be done.</exception>
    internal Task CommitAsync(Batch batch, CancellationToken cancel) => RunAsync(async () =>
    {
        var isSent = false;
        try
        {
            await (await SessionAsync()).CommitAsync(batch, () => isSent = true, CancellationToken.None);
        }
        catch (Exception refusal) when (isSent && refusal is not StoreException && PostgresFaults.IsUnknown(refusal))
        {
            await DropAsync();
            await SettleAsync(batch, refusal);
        }
    }, cancel);

    /// <summary>Does a piece of work with the session, with the same promise and exceptions.</summary>
    internal async Task<T> WriteAsync<T>(Func<WriterSession, Task<T>> work, CancellationToken cancel)
    {
        var result = default(T);
        await RunAsync(async () => result = await work(await SessionAsync()), cancel);
        return result!;
    }

    /// <summary>Commits something tiny, on a new connection if need be.</summary>
    internal Task ProbeAsync(CancellationToken cancel) => WriteAsync(
        session => session.WriteAsync(commands => LogRows.AddMeta(commands, "last_probe", (++probes).ToString(CultureInfo.InvariantCulture)), CancellationToken.None), cancel);

    /// <summary>Finishes what is under way, gives the place up and closes. False when that did not end in time; then the lease has to run out.</summary>
    internal async Task<bool> CloseAsync(TimeSpan patience)
    {
        await closing.CancelAsync();
        if (!await gate.WaitAsync(patience))
            return false;
        try
        {
            await renewing;
            if (session is not null)
                await session.ReleaseAsync(CancellationToken.None).WaitAsync(patience);
            return true;
        }
        catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal))
        {
            // Nobody is there to give it up to; the place is free when the connection is gone, or its time has run out.
            return false;
        }
        finally
        {
            await DropAsync();
            gate.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await DropAsync();
        closing.Dispose();
        gate.Dispose();
    }

    private async Task RunAsync(Func<Task> work, CancellationToken cancel)
    {
        await gate.WaitAsync(cancel);
        if (closing.IsCancellationRequested)
        {
            gate.Release();
            throw new ObjectDisposedException(nameof(PostgresWriter));
        }

        // What was begun goes to its end; only the wait for it can be given up.
        var run = WorkAsync(work);
        try
        {
            await run.WaitAsync(cancel);
        }
        catch (OperationCanceledException) when (!run.IsCompleted)
        {
            throw new StoreException(StoreFault.Unknown, "The wait for a commit was given up while it was under way; it may or may not happen.");
        }
    }

    private async Task WorkAsync(Func<Task> work)
    {
        // Whoever commits goes on deciding meanwhile: turning a batch into what is sent takes as long as much of that.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            await work();
        }
        catch (Exception refusal)
        {
            if (refusal is PostgresException { InvariantSeverity: "ERROR" } or StoreException && refusal is not PostgresException { SqlState: PostgresFaults.Superseded })
                session?.Forget();
            else
                await DropAsync();
            if (PostgresFaults.IsOfStore(refusal))
                throw PostgresFaults.Translate(refusal, connections.Where);
            throw;
        }
        finally
        {
            gate.Release();
        }
    }

    private async Task<WriterSession> SessionAsync()
    {
        if (session is not null)
            return session;
        session = await WriterSession.OpenAsync(connections, options, holder, migrates: false, clock, CancellationToken.None);
        Epoch = session.Epoch;
        return session;
    }

    private async Task DropAsync()
    {
        if (session is { } lost)
            await lost.DisposeAsync();
        session = null;
    }

    /// <summary>Finds out what became of a commit: once a new connection has the place, the old one's transaction is over, and its end can be read.</summary>
    private async Task SettleAsync(Batch batch, Exception loss)
    {
        var (sequence, hash) = (batch.LastSequence, batch.Texts.Hash(batch.Events.Count - 1).ToArray());
        for (var began = clock.GetTimestamp(); ; await Task.Delay(SettlePause, clock, CancellationToken.None))
        {
            try
            {
                if (await IsStoredAsync(sequence, hash))
                    return;
                break;
            }
            catch (Exception again) when (PostgresFaults.IsOfStore(again) && clock.GetElapsedTime(began) < SettlePatience)
            {
                await DropAsync();
            }
            catch (Exception again) when (PostgresFaults.IsOfStore(again) || again is StoreException { Fault: not StoreFault.Locked })
            {
                await DropAsync();
                throw PostgresFaults.Unknown(loss, connections.Where);
            }
        }

        throw new StoreException(
            StoreFault.Unavailable, $"The connection to PostgreSQL ({connections.Where}) was lost during a commit, which did not happen. Nothing was written.", loss);
    }

    private async Task<bool> IsStoredAsync(long sequence, byte[] hash)
    {
        try
        {
            return await WriterSession.HasAsync((await SessionAsync()).Connection, sequence, hash, CancellationToken.None);
        }
        catch (StoreException taken) when (taken.Fault == StoreFault.Locked)
        {
            // Who took the place could do so only when what was under way here was over.
            await using var connection = await connections.OpenForReadingAsync(CancellationToken.None);
            if (await WriterSession.HasAsync(connection, sequence, hash, CancellationToken.None))
                return true;
            throw;
        }
    }

    /// <summary>Renews the hold while nothing else does.</summary>
    private async Task RenewAsync()
    {
        using var timer = new PeriodicTimer(options.Lease / 3, clock);
        try
        {
            while (await timer.WaitForNextTickAsync(closing.Token))
            {
                await gate.WaitAsync(closing.Token);
                try
                {
                    // Also after a connection was lost: without one the place would be free for others.
                    await (await SessionAsync()).WriteAsync(static _ => { }, CancellationToken.None);
                }
                catch (Exception refusal) when (PostgresFaults.IsOfStore(refusal) || refusal is StoreException)
                {
                    // Whoever writes next gets a new connection, and is told if there is none or the place is taken.
                    await DropAsync();
                }
                finally
                {
                    gate.Release();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Closing.
        }
    }
}
