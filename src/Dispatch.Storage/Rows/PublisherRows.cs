using System.Text.Json;
using Dispatch.Publishing;

namespace Dispatch.Storage.Rows;

/// <summary>A publisher to and from its row in <c>publishers</c>, and what it published in <c>published</c>.</summary>
internal static class PublisherRows
{
    internal const string Columns = "id, types, session, registered_at, last_sequence";

    internal const string PublishedColumns = "publisher, id, hash, sequence";

    internal static void Bind(IRowParameters row, Publisher publisher, JsonText json)
    {
        row.Bind(1, publisher.Id);
        JsonSerializer.Serialize(json.Start(), publisher.Types, RowJson.Default.StringArray);
        row.BindText(2, json.End());
        row.Bind(3, publisher.Session);
        row.Bind(4, publisher.RegisteredAt);
        row.Bind(5, publisher.LastSequence);
    }

    internal static void Bind(IRowParameters row, PublishedRow published)
    {
        row.Bind(1, published.Publisher);
        row.Bind(2, published.Id);
        row.Bind(3, published.Hash);
        row.Bind(4, published.Sequence);
    }

    internal static Publisher Read(IStoredRow row) => new(row.Text(0), RowTexts.Strings(row.Utf8(1)), row.NullableText(2), row.Int64(3), row.Int64(4));

    internal static PublishedRow ReadPublished(IStoredRow row) => new(row.Text(0), row.Text(1), row.Text(2), row.Int64(3));
}
