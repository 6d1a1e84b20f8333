using System.Text;
using Dispatch.Storage.Sqlite.Native;

namespace Dispatch.Storage.Tests.Sqlite.Native;

public sealed class SqliteStatementTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();
    private readonly SqliteConnection connection;

    public SqliteStatementTests() => connection = SqliteConnection.Open(directory.File("t.db"), SqliteAccess.ReadWriteCreate);

    [Fact]
    public void Every_kind_of_value_comes_back_as_it_went_in()
    {
        connection.Execute("CREATE TABLE t(a,b,c,d,e,f,g)");
        using (var insert = connection.Prepare("INSERT INTO t VALUES(?,?,?,?,?,?,?)"))
        {
            insert.Bind(1, long.MinValue);
            insert.Bind(2, 0.1);
            insert.Bind(3, "grüße 👋");
            insert.BindText(4, "utf-8 ☃"u8);
            insert.BindBlob(5, [0, 1, 255]);
            insert.BindNull(6);
            insert.Bind(7, true);
            insert.Execute();
        }

        using var row = connection.Prepare("SELECT * FROM t");
        Assert.Equal(7, row.ColumnCount);
        Assert.True(row.Step());
        Assert.Equal(long.MinValue, row.Int64(0));
        Assert.Equal(0.1, row.Double(1));
        Assert.Equal("grüße 👋", row.Text(2));
        Assert.True("utf-8 ☃"u8.SequenceEqual(row.Utf8(3)));
        Assert.Equal([0, 1, 255], row.Blob(4).ToArray());
        Assert.True(row.IsNull(5));
        Assert.Null(row.NullableText(5));
        Assert.Null(row.NullableInt64(5));
        Assert.Equal("", row.Text(5));
        Assert.True(row.Boolean(6));
        Assert.Equal(1, row.NullableInt32(6));
        Assert.False(row.Step());
    }

    [Fact]
    public void Empty_is_not_null()
    {
        using var row = connection.Prepare("SELECT ?1 IS NULL, ?2 IS NULL, ?3 IS NULL, ?4 IS NULL, typeof(?3)");
        row.Bind(1, "");
        row.BindText(2, []);
        row.BindBlob(3, []);
        row.Bind(4, (string?)null);
        Assert.True(row.Step());

        Assert.Equal([0, 0, 0, 1], [row.Int64(0), row.Int64(1), row.Int64(2), row.Int64(3)]);
        Assert.Equal("blob", row.Text(4));
    }

    [Fact]
    public void A_parameter_forgotten_after_a_reset_is_null_not_the_last_rows_value()
    {
        using var row = connection.Prepare("SELECT ?1, ?2");
        row.Bind(1, "secret of row one");
        row.Bind(2, 7L);
        Assert.True(row.Step());
        row.Reset();

        row.Bind(2, 8L);
        Assert.True(row.Step());

        Assert.True(row.IsNull(0));
        Assert.Equal(8, row.Int64(1));
    }

    [Fact]
    public void Bound_bytes_are_ours_from_the_bind_on()
    {
        var bytes = "first"u8.ToArray();
        using var row = connection.Prepare("SELECT ?1, ?2");
        row.BindText(1, bytes);
        "other"u8.CopyTo(bytes);
        row.BindText(2, bytes);
        GC.Collect();
        Assert.True(row.Step());

        Assert.Equal("first", row.Text(0));
        Assert.Equal("other", row.Text(1));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(511)]
    [InlineData(513)]
    [InlineData(16 * 1024)]
    [InlineData(16 * 1024 + 1)]
    [InlineData(3_000_000)]
    public void Values_of_any_length_stand_side_by_side(int length)
    {
        var texts = Enumerable.Range(0, 5).Select(n => new string((char)('a' + n), length) + "é").ToArray();
        using var row = connection.Prepare("SELECT ?1, ?2, ?3, ?4, ?5");
        for (var round = 0; round < 3; round++)
        {
            for (var n = 0; n < 5; n++)
            {
                if (n % 2 == 0)
                    row.Bind(n + 1, texts[n]);
                else
                    row.BindText(n + 1, Encoding.UTF8.GetBytes(texts[n]));
            }

            Assert.True(row.Step());
            for (var n = 0; n < 5; n++)
                Assert.Equal(texts[n], row.Text(n));
            row.Reset();
        }
    }

    [Fact]
    public void A_failed_row_leaves_the_statement_ready_for_the_next()
    {
        connection.Execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT UNIQUE)");
        using var insert = connection.Prepare("INSERT INTO t VALUES(?,?)");
        insert.Bind(1, 1L);
        insert.Bind(2, "x");
        insert.Execute();

        insert.Bind(1, 2L);
        insert.Bind(2, "x");
        Assert.True(Assert.Throws<SqliteException>(insert.Execute).IsConstraint);

        insert.Bind(1, 2L);
        insert.Bind(2, "y");
        insert.Execute();
        Assert.Equal(2, connection.QueryInt64("SELECT count(*) FROM t"));
    }

    [Fact]
    public void A_wrong_parameter_is_an_error()
    {
        using var row = connection.Prepare("SELECT ?1");

        Assert.Throws<SqliteException>(() => row.Bind(2, 1L));
        Assert.Throws<SqliteException>(() => row.Bind(0, "x"));
        Assert.Throws<ArgumentOutOfRangeException>(() => row.BindNull(2));
    }

    [Fact]
    public void A_query_run_as_a_command_is_an_error()
    {
        using var row = connection.Prepare("SELECT 1");

        Assert.Throws<InvalidOperationException>(row.Execute);
    }

    public void Dispose()
    {
        connection.Dispose();
        directory.Dispose();
    }
}
