using System.Text;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// The SQL of a task list. Each list is read along one index that has the newest first (or several, merged by number), so that
/// a page costs what it shows and nothing is sorted.
/// </summary>
internal sealed class TaskListing
{
    private readonly TaskQuery query;
    private readonly List<Action<SqliteStatement, int>> parameters = [];
    private readonly StringBuilder filters = new();

    private TaskListing(TaskQuery query) => this.query = query;

    /// <summary>The statements to run; the page is the newest <see cref="TaskQuery.Limit"/> tasks of all of them.</summary>
    internal static IReadOnlyList<(string Sql, Action<SqliteStatement> Bind)> For(TaskQuery query)
    {
        var statuses = query.Statuses.Count == 0 && query.DeadLettered == true ? [TaskState.Failed, TaskState.Timeout] : query.Statuses;
        if (query.Labels.Count > 0 || query.Parent is not null || query.Owner is not null || statuses.Count == 0 || statuses.Contains(TaskState.Completed))
            return [new TaskListing(query).Build(statuses, single: null)];

        return [.. statuses.Distinct().Select(status => new TaskListing(query).Build([], single: status))];
    }

    private (string Sql, Action<SqliteStatement> Bind) Build(IReadOnlyList<TaskState> statuses, TaskState? single)
    {
        var from = "tasks t";
        var order = "t.number";
        if (query.Labels.Count > 0)
        {
            from = "task_labels l CROSS JOIN tasks t ON t.number = l.number";
            order = "l.number";
            Where("l.label = @", (row, index) => row.Bind(index, query.Labels[0]));
            foreach (var label in query.Labels.Skip(1))
                Where("EXISTS (SELECT 1 FROM task_labels o WHERE o.label = @ AND o.number = t.number)", (row, index) => row.Bind(index, label));
        }
        else if (query.Parent is not null)
        {
            from = "tasks t INDEXED BY tasks_by_parent";
        }
        else if (query.Owner is not null)
        {
            from = "tasks t INDEXED BY tasks_by_owner";
        }
        else if (single is { } status)
        {
            // The second half is what lets SQLite use the partial index.
            from = "tasks t INDEXED BY tasks_by_status";
            Where("t.status = @ AND t.status <> 'completed'", (row, index) => row.BindText(index, Words.State.Word((int)status)));
        }
        else
        {
            from = "tasks t NOT INDEXED";
        }

        if (statuses.Count > 0)
            Where($"t.status IN ({string.Join(", ", statuses.Select(state => $"'{Encoding.UTF8.GetString(Words.State.Word((int)state))}'"))})");
        if (query.Parent is { } parent)
            Where("t.parent_id = @", (row, index) => row.Bind(index, parent.Value));
        if (query.Owner is { } owner)
            Where("t.owner = @", (row, index) => row.Bind(index, owner));
        if (query.Requester is { } requester)
            Where("t.requester = @", (row, index) => row.Bind(index, requester));
        if (query.Assignee is { } assignee)
            Where("t.assignee = @", (row, index) => row.Bind(index, assignee));
        if (query.Scope is { } scope)
            Where("t.scope = @", (row, index) => row.Bind(index, scope));
        if (query.VisibleTo is { } caller)
            Where("@ IN (t.requester, t.owner, t.assignee)", (row, index) => row.Bind(index, caller));
        if (query.DeadLettered is { } dead)
            Where($"t.dead_lettered = {(dead ? 1 : 0)}");
        if (query.Before is { } before)
            Where($"{order} < @", (row, index) => row.Bind(index, before));

        Parameter((row, index) => row.Bind(index, (long)query.Limit));
        var columns = string.Join(", ", TaskColumns.List.Split(", ").Select(column => "t." + column));
        return ($"SELECT {columns} FROM {from}{filters} ORDER BY {order} DESC LIMIT ?{parameters.Count}", Bind);
    }

    private void Where(string condition, Action<SqliteStatement, int>? bind = null)
    {
        filters.Append(filters.Length == 0 ? " WHERE " : " AND ");
        filters.Append(bind is null ? condition : condition.Replace("@", $"?{Parameter(bind)}"));
    }

    private int Parameter(Action<SqliteStatement, int> bind)
    {
        parameters.Add(bind);
        return parameters.Count;
    }

    private void Bind(SqliteStatement row)
    {
        for (var n = 0; n < parameters.Count; n++)
            parameters[n](row, n + 1);
    }
}
