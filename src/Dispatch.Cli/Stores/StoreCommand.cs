using System.CommandLine;
using Dispatch.Cli.CommandLine;

namespace Dispatch.Cli.Stores;

/// <summary><c>dispatch store ...</c>: the store as a whole.</summary>
internal static class StoreCommand
{
    public static Command Create() => new DispatchCommand("store", "Move the store to another place")
    {
        Examples = ["dispatch store copy --from sqlite:///var/lib/dispatch/dispatch.db --to postgresql://dispatch@db.example/dispatch"],
        Subcommands = { Copy() },
    };

    private static DispatchCommand Copy()
    {
        var from = new Option<string>("--from") { Description = "The store to copy: sqlite://PATH or postgresql://..., as in database.url. It is only read", HelpName = "URL", Required = true };
        var to = new Option<string>("--to") { Description = "Where to: the same forms. Empty, or this copy interrupted", HelpName = "URL", Required = true };
        var fromNamespace = new Option<string?>("--from-namespace") { Description = "With PostgreSQL: the namespace to copy [default]", HelpName = "NAME" };
        var toNamespace = new Option<string?>("--to-namespace") { Description = "With PostgreSQL: the namespace to make [default]", HelpName = "NAME" };
        return new DispatchCommand("copy", "Copy everything to another store, SQLite or PostgreSQL, and check the copy; run again, it goes on where it was")
        {
            Options = { from, to, fromNamespace, toNamespace },
            Examples =
            [
                "dispatch store copy --from sqlite:///var/lib/dispatch/dispatch.db --to postgresql://dispatch@db.example/dispatch",
                "dispatch store copy --from postgresql://dispatch@db.example/dispatch --to sqlite://~/back/dispatch.db --json",
            ],
            Remarks = """
                Stop the broker first: a store that one runs on is refused, and none starts on either store while it is copied.
                What was copied only in part is no store for a broker; the same command goes on with it.
                Passwords need not be in the address: see PGPASSWORD and ~/.pgpass.
                """,
        }.Does(run => CopyView.RunAsync(run, (run.Get(from)!, run.Get(fromNamespace)), (run.Get(to)!, run.Get(toNamespace))));
    }
}
