using System.Globalization;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>The partitions of <c>events</c>, named <c>events_FROM_TO</c> by their range of sequence numbers, the end not included. Of the one connection that writes.</summary>
internal sealed class Partitions(NpgsqlConnection connection, int size)
{
    private const string Prefix = "events_";

    private readonly SortedList<long, long> known = [];

    /// <summary>Where the first one begins; 1 when there is none.</summary>
    internal long First => known.Count == 0 ? 1 : known.Keys[0];

    /// <summary>Reads which there are.</summary>
    internal async Task LoadAsync(CancellationToken cancel)
    {
        known.Clear();
        await foreach (var row in connection.QueryAsync(
            "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass", cancel))
        {
            var parts = row.Text(0)[Prefix.Length..].Split('_');
            known.Add(long.Parse(parts[0], CultureInfo.InvariantCulture), long.Parse(parts[1], CultureInfo.InvariantCulture));
        }
    }

    /// <summary>Makes sure that there is room for events up to this one, and for one partition more.</summary>
    /// <param name="first">Where there are no partitions yet: the first event for which there has to be room.</param>
    internal async ValueTask MakeRoomAsync(long last, CancellationToken cancel, long first = 1)
    {
        while ((known.Count == 0 ? ((first - 1) / size * size) + 1 : known.Values[^1]) is var from && from <= last + size)
        {
            var to = from + size;
            var name = string.Create(CultureInfo.InvariantCulture, $"{Prefix}{from}_{to}");

            // Made apart and then attached: nobody who reads or writes has to wait. The check spares the search for rows outside.
            await connection.ExecuteAsync(
                string.Create(CultureInfo.InvariantCulture, $"""
                BEGIN;
                CREATE TABLE {name} (LIKE events INCLUDING ALL, CONSTRAINT within CHECK (sequence >= {from} AND sequence < {to}));
                ALTER TABLE events ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});
                ALTER TABLE {name} DROP CONSTRAINT within;
                COMMIT;
                """), cancel);
            known.Add(from, to);
        }
    }

    /// <summary>The first partition, when all of it lies below the horizon.</summary>
    internal string? FindDroppable(long horizon) => known.Count > 0 && known.Values[0] <= horizon
        ? string.Create(CultureInfo.InvariantCulture, $"{Prefix}{known.Keys[0]}_{known.Values[0]}")
        : null;

    /// <summary>To be called when that one is gone.</summary>
    internal void Dropped() => known.RemoveAt(0);
}
