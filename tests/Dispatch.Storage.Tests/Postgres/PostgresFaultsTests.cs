using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;

namespace Dispatch.Storage.Tests.Postgres;

public sealed class PostgresFaultsTests
{
    [Fact]
    public void A_connection_that_breaks_while_a_statement_begins_is_a_server_that_is_away()
    {
        var refusal = new ObjectDisposedException("System.Threading.ManualResetEventSlim");

        Assert.True(PostgresFaults.IsOfStore(refusal));
        Assert.True(PostgresFaults.IsUnknown(refusal));
        Assert.Equal(StoreFault.Unavailable, PostgresFaults.Translate(refusal, "here").Fault);
    }

    [Fact]
    public void A_row_that_no_release_wrote_is_damage() =>
        Assert.Equal(StoreFault.Corrupt, PostgresFaults.Translate(new FormatException("not a number"), "here").Fault);
}
