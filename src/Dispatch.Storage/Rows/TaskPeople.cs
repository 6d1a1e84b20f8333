
namespace Dispatch.Storage.Rows;

/// <summary>
/// Keeps <c>task_people</c>: in which blocks of task numbers somebody has a task. It may name a block too many (after a task moved on
/// or was pruned), never one too few. Used by one thread, inside a transaction.
/// </summary>
/// <param name="insert">Writes a row, if it is not there.</param>
internal sealed class TaskPeople(Action<string, long> insert)
{
    internal const int BlockSize = 1024;

    private const int Remembered = 10_000;

    // What is surely written, so that hardly any task costs a statement.
    private readonly HashSet<(string Person, long Block)> written = [];
    private (string? Person, long Block) latest;

    internal static long BlockOf(long number) => number / BlockSize;

    internal void Note(string? person, long number)
    {
        var block = BlockOf(number);
        if (person is null || (ReferenceEquals(person, latest.Person) && block == latest.Block))
            return;

        latest = (person, block);
        if (!written.Add((person, block)))
            return;

        insert(person, block);
        if (written.Count >= Remembered)
            written.Clear();
    }

    /// <summary>To be called after a rollback.</summary>
    internal void Forget()
    {
        written.Clear();
        latest = default;
    }
}
