using System.Text;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Storage.Rows;

/// <summary>What of a task list's SQL differs between databases.</summary>
internal sealed record ListingForms
{
    /// <summary>What stands before a parameter's number.</summary>
    internal required char Mark { get; init; }

    /// <summary>All tasks, as <c>t</c>, in the order of the table.</summary>
    internal required string All { get; init; }

    /// <summary>Tasks by label: rows of <c>task_labels</c>, as <c>l</c>, with their tasks.</summary>
    internal required string Labelled { get; init; }

    /// <summary>Tasks along the index by parent.</summary>
    internal required string Children { get; init; }

    /// <summary>Tasks of blocks: a table of blocks with its alias, and the alias, to the tasks in them.</summary>
    internal required Func<string, char, string> OfBlocks { get; init; }

    /// <summary>The states whose tasks are found by blocks.</summary>
    internal required TaskState[] StatesInBlocks { get; init; }

    /// <summary>Tasks along the index by state, which has the other states but the completed.</summary>
    internal required string OfOtherStates { get; init; }

    /// <summary>The condition on a state, <c>@</c>, that goes with it.</summary>
    internal required string OtherState { get; init; }
}

/// <summary>One statement of a task list, with its parameters.</summary>
internal readonly record struct ListingStatement(string Sql, Action<IRowParameters> Bind);

/// <summary>
/// The SQL of a task list. A list is read along an index that has the newest first (or along several, merged by number), so that
/// a page costs what it shows and nothing is sorted. Which index is decided here and not by the database, so that it does not depend on
/// what statistics it has at the time.
/// </summary>
internal sealed class TaskListing(TaskQuery query, ListingForms forms)
{
    /// <summary>Up to so many tasks in the wanted states it is cheaper to look at all of those than at all of somebody's.</summary>
    internal const int FewTasks = 10_000;

    private readonly List<Action<IRowParameters, int>> parameters = [];
    private readonly StringBuilder conditions = new();

    /// <summary>The statements to run. The page is the newest <see cref="TaskQuery.Limit"/> tasks of all of them.</summary>
    /// <param name="totals">Tasks in each state.</param>
    internal static IEnumerable<ListingStatement> For(TaskQuery query, IReadOnlyList<long> totals, ListingForms forms)
    {
        var states = query.Statuses.Count > 0 ? query.Statuses.Distinct().ToArray()
            : query.DeadLettered == true ? [TaskState.Failed, TaskState.Timeout]
            : [];
        var isIndexed = states.Length > 0 && !states.Contains(TaskState.Completed);
        if (query.Labels.Count > 0)
            return [new TaskListing(query, forms).ByLabel(query.Labels[0])];
        if (query.Parent is { } parent)
            return [new TaskListing(query, forms).ByParent(parent)];
        if (isIndexed && states.Sum(state => totals[(int)state]) <= FewTasks)
            return states.Select(state => new TaskListing(query, forms).ByState(state));
        if ((query.Assignee ?? query.Requester ?? query.Owner ?? query.VisibleTo) is { } person)
            return [new TaskListing(query, forms).ByPerson(person)];
        if (isIndexed)
            return states.Select(state => new TaskListing(query, forms).ByState(state));
        return [new TaskListing(query, forms).Build(forms.All, "t.number")];
    }

    private ListingStatement ByLabel(string label)
    {
        Where("l.label = @", (row, index) => row.Bind(index, label));
        return Build(forms.Labelled, "l.number");
    }

    private ListingStatement ByParent(TaskId parent)
    {
        Where("t.parent_id = @", (row, index) => row.Bind(index, parent.Value));
        return Build(forms.Children, "t.number");
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
        return Build(forms.OfBlocks(blocks, alias), "t.number", $"{alias}.block DESC, t.number DESC");
    }

    private ListingStatement ByState(TaskState state)
    {
        if (forms.StatesInBlocks.Contains(state))
        {
            Where("s.status = @ AND t.status = s.status", (row, index) => row.BindText(index, Words.State.Word((int)state)));
            return InBlocks("task_states s");
        }

        Where(forms.OtherState, (row, index) => row.BindText(index, Words.State.Word((int)state)));
        return Build(forms.OfOtherStates, "t.number");
    }

    private ListingStatement Build(string from, string number, string? order = null)
    {
        foreach (var label in query.Labels.Skip(1))
            Where("EXISTS (SELECT 1 FROM task_labels o WHERE o.label = @ AND o.number = t.number)", (row, index) => row.Bind(index, label));
        if (query.Statuses.Count > 0)
            Where($"t.status IN ({string.Join(", ", query.Statuses.Select(state => $"'{Words.State.Name((int)state)}'"))})");
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
            Where($"t.dead_lettered = {(dead ? "TRUE" : "FALSE")}");
        if (query.Parent is { } parent)
            Where("t.parent_id = @", (row, index) => row.Bind(index, parent.Value));
        if (query.Before is { } before)
            Where($"{number} < @", (row, index) => row.Bind(index, before));

        var columns = string.Join(", ", TaskColumns.List.Split(", ").Select(column => "t." + column));
        var limit = Parameter((row, index) => row.Bind(index, (long)query.Limit));
        return new ListingStatement($"SELECT {columns} FROM {from}{conditions} ORDER BY {order ?? $"{number} DESC"} LIMIT {forms.Mark}{limit}", Bind);
    }

    private void Where(string condition, Action<IRowParameters, int>? bind = null)
    {
        conditions.Append(conditions.Length == 0 ? " WHERE " : " AND ");
        conditions.Append(bind is null ? condition : condition.Replace("@", $"{forms.Mark}{Parameter(bind)}", StringComparison.Ordinal));
    }

    private int Parameter(Action<IRowParameters, int> bind)
    {
        parameters.Add(bind);
        return parameters.Count;
    }

    private void Bind(IRowParameters row)
    {
        for (var n = 0; n < parameters.Count; n++)
            parameters[n](row, n + 1);
    }
}
