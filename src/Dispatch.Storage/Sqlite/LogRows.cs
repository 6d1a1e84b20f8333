using System.Globalization;
using Dispatch.Retention;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Sqlite;

/// <summary>How far the log reaches, what it takes, and the bases of it: the queries. Used by one thread at a time, inside a transaction.</summary>
internal sealed class LogRows(SqliteConnection connection)
{
    internal const string WriteMark = "INSERT OR REPLACE INTO meta (key, value) VALUES ('log_mark', ?)";

    /// <summary>What was written since is counted in the rows: so much at the most, about.</summary>
    internal const long MarkEvery = 4 << 20;

    private const string BaseColumns = "sequence, timestamp, bytes, parts, digest";

    private readonly SqliteStatement meta = connection.Prepare("SELECT value FROM meta WHERE key = ?");
    private readonly SqliteStatement bytesBehind = connection.Prepare("SELECT count(*), sum(length(CAST(data AS BLOB))) FROM events WHERE sequence > ?");
    private readonly SqliteStatement bases = connection.Prepare($"SELECT {BaseColumns} FROM log_bases WHERE sequence >= ? ORDER BY sequence");
    private readonly SqliteStatement ends = connection.Prepare(
        "SELECT (SELECT min(sequence) FROM events), (SELECT max(sequence) FROM events), (SELECT min(sequence) FROM log_base_parts)");
    private readonly SqliteStatement timestampOf = connection.Prepare("SELECT timestamp FROM events WHERE sequence = ?");

    internal static long BytesOf(int data) => data + LogExtent.EventBytes;

    internal static void BindMark(SqliteStatement mark, long sequence, long bytes) =>
        mark.Bind(1, string.Create(CultureInfo.InvariantCulture, $"{sequence} {bytes}"));

    /// <summary>Sequence of the oldest event that is kept.</summary>
    internal long Horizon() => Number("log_horizon", 1);

    /// <summary>Up to this event nothing that is kept needs its event.</summary>
    internal long Prepared() => Number("log_prepared", 0);

    /// <summary>What the log takes up to its head, kept or not.</summary>
    internal long Bytes()
    {
        var mark = (Text("log_mark") ?? "0 0").Split(' ');
        if (mark.Length != 2 || !TryParse(mark[0], out var sequence) || !TryParse(mark[1], out var bytes))
            throw new FormatException($"log_mark is '{string.Join(' ', mark)}'.");

        bytesBehind.Bind(1, sequence);
        bytesBehind.Step();
        bytes += bytesBehind.Int64(1) + (bytesBehind.Int64(0) * LogExtent.EventBytes);
        bytesBehind.Reset();
        return bytes;
    }

    internal LogExtent Extent()
    {
        var horizon = Horizon();
        var known = Bases(horizon - 1);
        ends.Step();
        var (first, head, part) = (ends.Int64(0), ends.Int64(1), ends.NullableInt64(2));
        ends.Reset();
        timestampOf.Bind(1, Math.Max(horizon, (known.Count == 0 ? 0 : known[^1].Sequence) + 1));
        long? uncovered = timestampOf.Step() ? timestampOf.Int64(0) : null;
        timestampOf.Reset();
        return new LogExtent(horizon, head, Bytes(), uncovered, known, IsTrimmed: (first == 0 || first >= horizon) && !(part < horizon - 1));
    }

    /// <summary>The complete bases from this one on.</summary>
    internal List<LogBase> Bases(long from)
    {
        var found = new List<LogBase>();
        bases.Bind(1, from);
        while (bases.Step())
            found.Add(new LogBase(bases.Int64(0), bases.Int64(1), bases.Int64(2), bases.Int32(3), bases.Text(4)));
        bases.Reset();
        return found;
    }

    private long Number(string key, long absent) => Text(key) is not { } text ? absent : TryParse(text, out var number) ? number : throw new FormatException($"{key} is '{text}'.");

    private string? Text(string key)
    {
        meta.Bind(1, key);
        var text = meta.Step() ? meta.Text(0) : null;
        meta.Reset();
        return text;
    }

    private static bool TryParse(string text, out long number) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
