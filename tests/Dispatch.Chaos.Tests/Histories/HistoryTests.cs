using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Tests.Histories;

public sealed class HistoryTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("dispatch-history-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public void What_is_written_is_read_back()
    {
        var submit = new Invocation.Submit([new NewTask("client:1", "key", "id", ["other"], MaxRetries: 3)], MustBeRefused: true);
        var exchange = new Invocation.Exchange([new Report("worker", "id", 2, "failed", null, MustBeRefused: true, Retryable: false)]);
        using (var file = new HistoryFile("client", directory, new RunClock()))
        {
            file.Ok(file.Invoke(submit), new Answer.Submitted(["id"], Existed: true));
            file.Refused(file.Invoke(exchange), "busy");
        }

        var operations = History.Read(directory).Operations;

        Assert.Equal(["client.1", "client.2"], operations.Select(operation => operation.Id));
        Assert.Equivalent(submit, operations[0].Invocation, strict: true);
        Assert.Equivalent(new Answer.Submitted(["id"], Existed: true), operations[0].Answer, strict: true);
        Assert.Equivalent(exchange, operations[1].Invocation, strict: true);
        Assert.Equal((Phase.Refused, "busy"), (operations[1].End, operations[1].Code));
    }

    [Fact]
    public void An_invocation_without_an_answer_is_unknown_and_never_over()
    {
        using (var file = new HistoryFile("client", directory, new RunClock()))
            file.Invoke(new Invocation.Cancel("id"));

        var operation = Assert.Single(History.Read(directory).Operations);

        Assert.Equal((Phase.Unknown, long.MaxValue), (operation.End, operation.ReturnedAt));
    }

    [Fact]
    public void A_torn_last_line_is_dropped()
    {
        using (var file = new HistoryFile("client", directory, new RunClock()))
            file.Ok(file.Invoke(new Invocation.Cancel("id")), new Answer.Done());
        var path = Path.Combine(directory, "client.jsonl");
        File.WriteAllText(path, File.ReadAllText(path)[..^5]);

        Assert.Equal(Phase.Unknown, Assert.Single(History.Read(directory).Operations).End);
    }

    [Fact]
    public void Each_report_of_an_exchange_has_its_own_answer()
    {
        Report[] reports = [new("worker", "a", 1, "completed", "r"), new("worker", "b", 1, "completed", "s"), new("worker", "c", 1, "failed", null)];
        var history = new History(
        [
            new HistoryLine("worker.1", "worker", 1, Phase.Invoke, Invocation: new Invocation.Exchange(reports)),
            new HistoryLine("worker.1", "worker", 2, Phase.Ok, Answer: new Answer.Exchanged(["accepted", "stale", "unchanged"], [])),
        ]);

        Assert.Equal([Phase.Ok, Phase.Refused, Phase.Ok], history.Reports.Select(report => report.End));
    }
}
