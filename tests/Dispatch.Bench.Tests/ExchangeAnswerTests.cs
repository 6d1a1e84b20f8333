using System.Text;
using Dispatch.Bench.Load;

namespace Dispatch.Bench.Tests;

public sealed class ExchangeAnswerTests
{
    [Fact]
    public void Tasks_and_reports_are_found_among_everything_else()
    {
        var read = Read("""
            {"wake":true,
             "reports":[{"task_id":"a","attempt":1,"status":"accepted"},{"task_id":"b","attempt":1,"status":"stale","tasks":[{"id":"no"}]}],
             "tasks":[
               {"attempt":3,"context":{"id":"no","attempt":9,"list":[{"id":"no"}]},"labels":{"title":"bench 9"},"id":"t-1","title":"bench 000000000017"},
               {"id":"t-2","title":"something else","depends_on":["no"],"attempt":1}],
             "cancelled":[{"task_id":"no","attempt":1,"status":"accepted"}]}
            """);

        Assert.Equal(["t-1 3 17", "t-2 1 -1", "1 accepted, 1 not"], read);
    }

    [Theory]
    [InlineData("""{"reports":[],"tasks":[],"cancelled":[]}""")]
    [InlineData("""{}""")]
    public void An_answer_without_work_has_no_tasks(string answer) => Assert.Equal(["0 accepted, 0 not"], Read(answer));

    private static List<string> Read(string json)
    {
        List<string> found = [];
        var answer = new ExchangeAnswer(Encoding.UTF8.GetBytes(json));
        while (answer.TryReadTask(out var task))
            found.Add($"{Encoding.UTF8.GetString(task.Id)} {task.Attempt} {task.Number}");

        found.Add($"{answer.Accepted} accepted, {answer.NotAccepted} not");
        return found;
    }
}
