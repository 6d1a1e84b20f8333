using System.Text;
using Dispatch.Sequencing;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>One statement of a task list, with its parameters.</summary>
internal readonly record struct ListingStatement(string Sql, Action<SqliteStatement> Bind);

/// <summary>
/// The SQL of a task list. A list is read along an index that has the newest first (or along several, merged by number), so that
/// a page costs what it shows and nothing is sorted. Which index is decided here and not by SQLite, which knows
/// no statistics of ours.
/// </summary>
internal sealed class TaskListing(TaskQuery query)
{
    /// <summary>Up to so many tasks in the wanted states it is cheaper to look at all of those than at all of somebody's.</summary>
    internal const int FewTasks = 10_000;

    private readonly List<Action<SqliteStatement, int>> parameters = [];
    private readonly StringBuilder conditions = new();

    /// <summary>The statements to run. The page is the newest <see cref="TaskQuery.Limit"/> tasks of all of them.</summary>
    /// <param name="totals">Tasks in each state.</param>
    internal static IEnumerable<ListingStatement> For(TaskQuery query, IReadOnlyList<long> totals)
    {
        var states = query.Statuses.Count > 0 ? query.Statuses.Distinct().ToArray()
            : query.DeadLettered == true ? [TaskState.Failed, TaskState.Timeout]
            : [];
        var isIndexed = states.Length > 0 && !states.Contains(TaskState.Completed);
        if (query.Labels.Count > 0)
            return [new TaskListing(query).ByLabel(query.Labels[0])];
        if (query.Parent is { } parent)
            return [new TaskListing(query).ByParent(parent)];
        if (isIndexed && states.Sum(state => totals[(int)state]) <= FewTasks)
            return states.Select(state => new TaskListing(query).ByState(state));
        if ((query.Assignee ?? query.Requester ?? query.Owner ?? query.VisibleTo) is { } person)
            return [new TaskListing(query).ByPerson(person)];
        if (isIndexed)
            return states.Select(state => new TaskListing(query).ByState(state));
        return [new TaskListing(query).Build("tasks t NOT INDEXED", "t.number")];
    }

    private ListingStatement ByLabel(string label)
    {
        Where("l.label = @", (row, index) => row.Bind(index, label));
        return Build("task_labels l CROSS JOIN tasks t ON t.number = l.number", "l.number");
    }

    private ListingStatement ByParent(TaskId parent)
    {
        Where("t.parent_id = @", (row, index) => row.Bind(index, parent.Value));
        return Build("tasks t INDEXED BY tasks_by_parent", "t.number");
    }

    /// <summary>Looks through the blocks in which the person has a task at all.</summary>
    private ListingStatement ByPerson(string person)
    {
        Where("p.person = @", (row, index) => row.Bind(index, person));
        return InBlocks("task_people p");
    }

    /// <param name="blocks">A table of blocks and its one-letter alias.</param>
    private ListingStatement InBlocks(string blocks)
    {
        var alias = blocks[^1];
        if (query.Before is { } before)
            Where($"{alias}.block <= @", (row, index) => row.Bind(index, TaskPeople.BlockOf(before)));
        return Build(
            $"{blocks} CROSS JOIN tasks t NOT INDEXED ON t.number >= {alias}.block * {TaskPeople.BlockSize} AND t.number < ({alias}.block + 1) * {TaskPeople.BlockSize}",
            "t.number", $"{alias}.block DESC, t.number DESC");
    }

    private ListingStatement ByState(TaskState state)
    {
        if (TaskStates.Kept.Contains(state))
        {
            Where("s.status = @ AND t.status = s.status", (row, index) => row.BindText(index, Words.State.Word((int)state)));
            return InBlocks("task_states s");
        }

        // The second half is what lets SQLite use the partial index.
        Where("t.status = @ AND " + TaskStates.Others, (row, index) => row.BindText(index, Words.State.Word((int)state)));
        return Build("tasks t INDEXED BY tasks_by_status", "t.number");
    }

    private ListingStatement Build(string from, string number, string? order = null)
    {
        foreach (var label in query.Labels.Skip(1))
            Where("EXISTS (SELECT 1 FROM task_labels o WHERE o.label = @ AND o.number = t.number)", (row, index) => row.Bind(index, label));
        if (query.Statuses.Count > 0)
            Where($"t.status IN ({string.Join(", ", query.Statuses.Select(state => $"'{Encoding.UTF8.GetString(Words.State.Word((int)state))}'"))})");
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
        if (query.Parent is { } parent)
            Where("t.parent_id = @", (row, index) => row.Bind(index, parent.Value));
        if (query.Before is { } before)
            Where($"{number} < @", (row, index) => row.Bind(index, before));

        var columns = string.Join(", ", TaskColumns.List.Split(", ").Select(column => "t." + column));
        var limit = Parameter((row, index) => row.Bind(index, (long)query.Limit));
        return new ListingStatement($"SELECT {columns} FROM {from}{conditions} ORDER BY {order ?? $"{number} DESC"} LIMIT ?{limit}", Bind);
    }

    private void Where(string condition, Action<SqliteStatement, int>? bind = null)
    {
        conditions.Append(conditions.Length == 0 ? " WHERE " : " AND ");
        conditions.Append(bind is null ? condition : condition.Replace("@", $"?{Parameter(bind)}", StringComparison.Ordinal));
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
