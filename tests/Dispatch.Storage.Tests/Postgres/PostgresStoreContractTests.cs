using Dispatch.Sequencing;
using Dispatch.Storage.Postgres;
using Dispatch.Storage.Tests.Contract;

namespace Dispatch.Storage.Tests.Postgres;

[Collection(PostgresCollection.Name)]
public sealed class PostgresStoreContractTests(PostgresFixture fixture) : StoreContract
{
    private PostgresStoreOptions? options;

    protected override async Task<IStore> OpenAsync() => await PostgresStore.OpenAsync(options ??= fixture.NewStore(), TimeProvider.System, default);
}
