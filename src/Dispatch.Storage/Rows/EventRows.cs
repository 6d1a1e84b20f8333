using Dispatch.Events;
using Dispatch.Sequencing;

namespace Dispatch.Storage.Rows;

/// <summary>An event to and from its row in <c>events</c>. Used by one thread at a time.</summary>
internal sealed class EventRows
{
    internal const string Columns = "sequence, timestamp, type, source, subject, session, actor, caused_by, previous, data, hash";

    private readonly RowTexts texts = new();

    /// <param name="data">The event's data as JSON.</param>
    internal static void Bind(IRowParameters row, DispatchEvent happened, ReadOnlySpan<byte> data, ReadOnlySpan<byte> hash)
    {
        var kind = happened.Data.Kind;
        row.Bind(1, happened.Sequence);
        row.Bind(2, happened.Timestamp);
        row.BindText(3, kind.NameUtf8);
        if (kind.IsOutside)
            row.Bind(4, happened.Source);
        else
            row.BindText(4, kind.SourceUtf8);
        row.Bind(5, happened.Subject);
        row.Bind(6, happened.Session);
        row.Bind(7, happened.Actor);
        if (happened.CausedBy != 0)
            row.Bind(8, happened.CausedBy);
        if (happened.Previous != 0)
            row.Bind(9, happened.Previous);
        row.BindText(10, data);
        row.BindBlob(11, hash);
    }

    /// <summary>The event of the current row of a query for <see cref="Columns"/>.</summary>
    internal DispatchEvent Read(IStoredRow row) => new(
        row.Int64(0), row.Int64(1), row.Text(4), row.IsNull(5) ? null : texts.Get(row.Utf8(5)), texts.Get(row.Utf8(6)), row.Int64(7), row.Int64(8),
        State.KindOf(texts.Get(row.Utf8(2))).Read(row.Utf8(9)));

    /// <summary>The current row as it stands there.</summary>
    internal LogEntry ReadEntry(IStoredRow row) => new(
        row.Int64(0), row.Int64(1), texts.Get(row.Utf8(2)), texts.Get(row.Utf8(3)), row.Text(4), row.IsNull(5) ? null : texts.Get(row.Utf8(5)),
        texts.Get(row.Utf8(6)), row.Int64(7), row.Int64(8), new JsonBytes(row.Utf8(9).ToArray()), row.Blob(10).ToArray());
}
