using Dispatch.Sequencing;
using Dispatch.Simulation;
using Dispatch.Simulation.Disk;
using Dispatch.Storage.Tests.Contract;

namespace Dispatch.Storage.Tests;

/// <summary>What the simulation learns about the broker is worth as much as its store is like a real one.</summary>
public sealed class SimStoreContractTests : StoreContract
{
    private readonly Machine machine = new(Weather.Fair(), Bug.None, new Rare());

    protected override Task<IStore> OpenAsync() => Task.FromResult<IStore>(new SimStore(machine, TimeProvider.System, new Random(1)));
}
