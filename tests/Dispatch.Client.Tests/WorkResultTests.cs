using System.Text.Json;

namespace Dispatch.Client.Tests;

/// <summary>A handler hears at once of what the broker would not take.</summary>
public sealed class WorkResultTests
{
    [Theory]
    [InlineData("[1]")]
    [InlineData("\"text\"")]
    [InlineData("null")]
    public void What_is_no_object_is_refused(string json)
    {
        var value = JsonElement.Parse(json);

        Assert.Throws<ArgumentException>(() => WorkResult.Complete(value));
        Assert.Throws<ArgumentException>(() => WorkResult.Complete(usage: value));
        Assert.Throws<ArgumentException>(() => WorkResult.Fail("E", usage: value));
        Assert.Throws<ArgumentException>(() => new WorkItem(Task).ReportProgress(data: value));
        Assert.Throws<ArgumentException>(() => WorkResult.Complete(default(JsonElement)));
    }

    [Fact]
    public void A_result_outlives_the_document_it_came_from()
    {
        WorkResult.Completed done;
        using (var document = JsonDocument.Parse("""{"words":3}"""))
            done = (WorkResult.Completed)WorkResult.Complete(document.RootElement);

        Assert.Equal(3, done.Result!.Value.GetProperty("words").GetInt32());
    }

    [Fact]
    public void An_error_is_cut_to_what_the_broker_takes_and_never_empty()
    {
        Assert.Equal(8_000, Error(WorkResult.Fail(new string('x', 100_000))).Length);
        Assert.Equal("The worker gave no reason.", Error(WorkResult.Fail(" ")));
        Assert.Equal("E", Error(WorkResult.Fail("E")));
    }

    [Fact]
    public void What_is_no_name_of_a_model_is_refused()
    {
        foreach (var wrong in new[] { "", " ", "a\nb", new string('m', 129) })
        {
            Assert.Throws<ArgumentException>(() => WorkResult.Complete(model: wrong));
            Assert.Throws<ArgumentException>(() => WorkResult.Fail("E", model: wrong));
        }

        Assert.Equal("small", ((WorkResult.Completed)WorkResult.Complete(model: "small")).Model);
        Assert.Equal("small", ((WorkResult.Failed)WorkResult.Fail("E", model: "small")).Model);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(86_400_001)]
    public void A_pause_out_of_range_is_refused(int milliseconds) =>
        Assert.Throws<ArgumentException>(() => WorkResult.Fail("E", retryAfter: TimeSpan.FromMilliseconds(milliseconds)));

    [Fact]
    public void Progress_is_brought_into_range()
    {
        var said = new List<TaskProgress>();
        var item = new WorkItem(Task, said.Add);

        item.ReportProgress(130, new string('x', 5_000));
        item.ReportProgress(-1);
        item.ReportProgress(message: "m");

        Assert.Equal([100, 0, null], said.Select(one => one.Percent));
        Assert.Equal(1_000, said[0].Message!.Length);
        Assert.Throws<ArgumentException>(() => item.ReportProgress(double.NaN));
    }

    private static DispatchTask Task => new() { Id = "t", Title = "T", Status = "assigned", Attempt = 1 };

    private static string Error(WorkResult result) => ((WorkResult.Failed)result).Error;
}
