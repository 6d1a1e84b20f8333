using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Tests.Contract;

namespace Dispatch.Storage.Tests.Sqlite;

public sealed class SqliteStoreContractTests : StoreContract
{
    private readonly TemporaryDirectory directory = new();

    protected override Task<IStore> OpenAsync() =>
        Task.FromResult<IStore>(SqliteStore.Open(new SqliteStoreOptions { Path = directory.File("dispatch.db") }, TimeProvider.System));

    public override async Task DisposeAsync()
    {
        await base.DisposeAsync();
        directory.Dispose();
    }
}
