using Dispatch.Events;

namespace Dispatch.Storage.Rows;

/// <summary>The current row of a query. Columns count from 0. What NULL reads as is told with each member.</summary>
internal interface IStoredRow
{
    bool IsNull(int column);

    /// <summary>0 for NULL.</summary>
    long Int64(int column);

    /// <summary>0 for NULL.</summary>
    /// <exception cref="OverflowException">The number is larger.</exception>
    int Int32(int column);

    /// <summary>False for NULL.</summary>
    bool Boolean(int column);

    long? NullableInt64(int column);

    /// <summary>The text as UTF-8, empty for NULL; an id as its 36 characters. Valid until the next row.</summary>
    ReadOnlySpan<byte> Utf8(int column);

    /// <summary>The bytes, empty for NULL. Valid until the next row.</summary>
    ReadOnlySpan<byte> Blob(int column);

    /// <summary>Empty for NULL.</summary>
    string Text(int column);

    string? NullableText(int column);

    /// <summary>The text as a JSON value; null for NULL.</summary>
    JsonBytes? NullableJson(int column);
}

/// <summary>The parameters of a row that is written. They count from 1; one that is not bound is NULL.</summary>
internal interface IRowParameters
{
    void Bind(int index, long value);

    /// <summary>NULL for null.</summary>
    void Bind(int index, long? value);

    void Bind(int index, bool value);

    /// <summary>NULL for null.</summary>
    void Bind(int index, string? value);

    void Bind(int index, Guid value);

    /// <summary>The JSON value as its text; NULL for null.</summary>
    void Bind(int index, JsonBytes? value);

    /// <summary>Text that is UTF-8 already. The bytes are copied.</summary>
    void BindText(int index, ReadOnlySpan<byte> utf8);

    /// <summary>Bytes that are not text. They are copied.</summary>
    void BindBlob(int index, ReadOnlySpan<byte> value);
}
