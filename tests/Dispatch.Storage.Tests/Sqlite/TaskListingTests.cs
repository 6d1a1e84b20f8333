using Dispatch.Sequencing;
using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Sqlite;

/// <summary>No list sorts, and none but the ones that have to looks at every task.</summary>
public sealed class TaskListingTests : IDisposable
{
    private const long Many = 1_000_000;

    private readonly TemporaryDirectory directory = new();
    private readonly SqliteConnection connection;

    public TaskListingTests() =>
        connection = DatabaseFile.OpenForWriting(new SqliteStoreOptions { Path = directory.File("dispatch.db") }, TimeProvider.System);

    public static TheoryData<string, TaskQuery, string> Lists => new()
    {
        { "everything", new TaskQuery(), "SCAN t" },
        { "completed", new TaskQuery { Statuses = [TaskState.Completed] }, "SCAN t" },
        { "a scope", new TaskQuery { Scope = "python" }, "SCAN t" },
        { "running", new TaskQuery { Statuses = [TaskState.Running] }, "SEARCH s USING PRIMARY KEY (status=?)" },
        { "assigned or pending", new TaskQuery { Statuses = [TaskState.Assigned, TaskState.Pending], Before = 5 }, "SEARCH s USING PRIMARY KEY (status=? AND block<?)" },
        { "failed or scheduled", new TaskQuery { Statuses = [TaskState.Failed, TaskState.Scheduled] }, "SEARCH t USING INDEX tasks_by_status (status=?)" },
        { "dead letters", new TaskQuery { DeadLettered = true, Before = 5 }, "SEARCH t USING INDEX tasks_by_status (status=? AND number<?)" },
        { "children", new TaskQuery { Parent = new TaskId(Guid.CreateVersion7()), Statuses = [TaskState.Completed] }, "SEARCH t USING INDEX tasks_by_parent (parent_id=?)" },
        { "labelled", new TaskQuery { Labels = ["a=1"], Before = 7 }, "SEARCH l USING PRIMARY KEY (label=? AND number<?)" },
        { "somebody's", new TaskQuery { VisibleTo = "alice", Before = 7 }, "SEARCH p USING PRIMARY KEY (person=? AND block<?)" },
        { "a requester's", new TaskQuery { Requester = "alice", Statuses = [TaskState.Pending] }, "SEARCH p USING PRIMARY KEY (person=?)" },
        { "an agent's", new TaskQuery { Assignee = "w-1", Statuses = [TaskState.Completed] }, "SEARCH p USING PRIMARY KEY (person=?)" },
    };

    [Theory]
    [MemberData(nameof(Lists))]
    public void A_list_is_read_along_its_index_newest_first(string list, TaskQuery query, string first)
    {
        Assert.NotEmpty(list);
        foreach (var (sql, bind) in TaskListing.For(query, Enumerable.Repeat(Many, 9).ToArray(), TaskStates.Listing))
        {
            var plan = Explain(sql, bind);

            Assert.Equal(first, plan[0]);
            Assert.DoesNotContain(plan, step => step.Contains("TEMP B-TREE", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void When_few_tasks_are_in_the_wanted_states_those_are_looked_at()
    {
        var totals = new long[9];
        totals[(int)TaskState.Completed] = Many;
        totals[(int)TaskState.Failed] = TaskListing.FewTasks;

        var (sql, bind) = Assert.Single(TaskListing.For(new TaskQuery { Requester = "alice", Statuses = [TaskState.Failed] }, totals, TaskStates.Listing));

        Assert.StartsWith("SEARCH t USING INDEX tasks_by_status", Explain(sql, bind)[0]);
    }

    public void Dispose()
    {
        connection.Dispose();
        directory.Dispose();
    }

    private List<string> Explain(string sql, Action<SqliteStatement> bind)
    {
        using var plan = connection.Prepare("EXPLAIN QUERY PLAN " + sql);
        bind(plan);
        var steps = new List<string>();
        while (plan.Step())
            steps.Add(plan.Text(3));
        return steps;
    }
}
