using Dispatch.Sequencing;

namespace Dispatch.Simulation.Disk;

/// <summary>What the broker's process runs on and what outlives it: the disk, and what the weather does to it.</summary>
internal sealed class Machine
{
    public Machine(Weather weather, Bug bug, Rare rare)
    {
        (Weather, Bug, Rare) = (weather, bug, rare);
        Disk = NewDisk();
        Write = batch => Disk.Apply(batch);
        Refuse = (_, _) => { };
    }

    public Weather Weather { get; }

    public Bug Bug { get; }

    public Rare Rare { get; }

    public SimDisk Disk { get; set; }

    public bool DiskIsFull { get; set; }

    /// <summary>How a batch reaches the disk.</summary>
    public Action<Batch> Write { get; set; }

    /// <summary>Told when the store refuses a batch that no sound broker would hand it: which rule, and why.</summary>
    public Action<string, string> Refuse { get; set; }

    // With an event bug planted it is the checks that must find it, not the disk.
    public SimDisk NewDisk() => new(Weather.ThroughJson, Bug is Bug.EventDropped or Bug.AssignedTwice);
}
