using Dispatch.Bench.Reporting;
using Dispatch.Host;
using Dispatch.Servers;
using Dispatch.Storage.Copying;

namespace Dispatch.Bench.Rows;

/// <summary>How fast <c>dispatch store copy</c> moves a store of whole lives from SQLite to PostgreSQL and back; to another file where there is no PostgreSQL.</summary>
internal static class CopyRow
{
    private const int Agents = 100;
    private const double Must = 50_000;
    private const double Aim = 150_000;

    public static async Task<RowResult> RunAsync(Bench bench)
    {
        var lives = bench.Arguments.Quick ? 40_000 : 400_000;
        var directory = bench.NewDirectory();
        await using (var broker = await StoredBroker.StartAsync(directory, Agents, limits: 1, bench.Cancellation))
            await broker.LiveAsync(lives);

        await using var server = PostgresServer.Missing is null ? await PostgresServer.StartAsync(directory) : null;
        var source = new StoreAddress($"sqlite://{directory}/dispatch.db", null);
        List<Measure> measures = [];
        List<string> notes = [];
        if (server is null)
        {
            notes.Add(PostgresServer.Missing!);
            await CopyAsync("SQLite to SQLite", source, new StoreAddress($"sqlite://{directory}/back.db", null));
        }
        else
        {
            var database = new StoreAddress(server.Url(), null);
            await CopyAsync("SQLite to PostgreSQL", source, database);
            await CopyAsync("PostgreSQL to SQLite", database, new StoreAddress($"sqlite://{directory}/back.db", null));
        }

        return new RowResult(measures, notes);

        async Task CopyAsync(string name, StoreAddress from, StoreAddress to)
        {
            var report = await StoreCopies.RunAsync(from, to, progress: null, bench.Cancellation);
            measures.Add(new Measure("copy", $"{name}, events", report.Events / report.CopyTime.TotalSeconds, "/s") { Must = Must, Aim = Aim });
            notes.Add(Describe(name, report));
        }
    }

    private static string Describe(string name, CopyReport report) =>
        $"{name}: {report.Events:#,0} events and {report.Rows - report.Events:#,0} rows that belong to them in {report.CopyTime.TotalSeconds:0.0} s, durable; then checked in {report.CheckTime.TotalSeconds:0.0} s ({report.Events / (report.CopyTime + report.CheckTime).TotalSeconds:#,0} events/s with it)";
}
