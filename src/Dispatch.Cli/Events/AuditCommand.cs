using System.CommandLine;
using Dispatch.Cli.CommandLine;

namespace Dispatch.Cli.Events;

/// <summary><c>dispatch audit ...</c>: has anybody changed the log.</summary>
internal static class AuditCommand
{
    public static Command Create() => new DispatchCommand("audit", "Show that the log is as it was written, and sign how far it goes")
    {
        Examples = ["dispatch audit verify", "dispatch audit checkpoint --out /mnt/elsewhere/checkpoints.jsonl"],
        Subcommands = { Verify(), Checkpoint() },
    };

    private static DispatchCommand Verify()
    {
        var files = new Option<string[]>("--checkpoints") { Description = "Checkpoints that were kept elsewhere, one to a line; may be repeated", HelpName = "FILE" };
        return new DispatchCommand("verify", "Follow the chain of hashes through the log; exit 1 and the first bad event when an entry was changed, removed, added or moved")
        {
            Options = { files, Operations.Configuration.FileOption },
            Examples = ["dispatch audit verify", "dispatch audit verify --checkpoints /mnt/elsewhere/checkpoints.jsonl --json"],
        }.Does(run => StoredLogView.VerifyAsync(run, run.Get(files) ?? []));
    }

    private static DispatchCommand Checkpoint()
    {
        var file = new Option<string?>("--out") { Description = "The file to add it to [standard output]", HelpName = "FILE" };
        return new DispatchCommand("checkpoint", "Sign how far the log goes, with the key in the data directory (made at the first time)")
        {
            Options = { file, Operations.Configuration.FileOption },
            Examples = ["dispatch audit checkpoint", "dispatch audit checkpoint --out /mnt/elsewhere/checkpoints.jsonl"],
        }.Does(run => StoredLogView.CheckpointAsync(run, run.Get(file)));
    }
}
