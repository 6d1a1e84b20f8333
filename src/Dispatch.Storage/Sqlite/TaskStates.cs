using Dispatch.Storage.Rows;
using Dispatch.Storage.Sqlite.Native;
using Dispatch.Tasks;

namespace Dispatch.Storage.Sqlite;

/// <summary>
/// Keeps <c>task_states</c>: in which blocks of task numbers there is a task that waits, is assigned or runs. Nearly every task passes
/// through these states, and an index on them would be rewritten each time. Exact after each commit. Used by one thread,
/// inside a transaction.
/// </summary>
internal sealed class TaskStates(SqliteConnection connection)
{
    /// <summary>The states kept here; the table's index has the others, but not the completed.</summary>
    internal static readonly TaskState[] Kept = [TaskState.Pending, TaskState.Assigned, TaskState.Running];

    /// <summary>The condition of the index on the other states; a query has to repeat it word for word to be read along that index.</summary>
    internal const string Others = "status <> 'pending' AND status <> 'assigned' AND status <> 'running' AND status <> 'completed'";

    /// <summary>Task lists along the indexes there are. SQLite has no statistics of ours: the indexes are named.</summary>
    internal static readonly ListingForms Listing = new()
    {
        Mark = '?',
        All = "tasks t NOT INDEXED",
        Labelled = "task_labels l CROSS JOIN tasks t ON t.number = l.number",
        Children = "tasks t INDEXED BY tasks_by_parent",
        OfBlocks = static (blocks, alias) =>
            $"{blocks} CROSS JOIN tasks t NOT INDEXED ON t.number >= {alias}.block * {TaskPeople.BlockSize} AND t.number < ({alias}.block + 1) * {TaskPeople.BlockSize}",
        StatesInBlocks = Kept,
        OfOtherStates = "tasks t INDEXED BY tasks_by_status",

        // The second half is what lets SQLite use the partial index.
        OtherState = "t.status = @ AND " + Others,
    };

    private const int Remembered = 4096;

    private readonly SqliteStatement load = connection.Prepare("SELECT number, status FROM tasks WHERE number >= ? AND number < ? AND status IN ('pending', 'assigned', 'running')");
    private readonly SqliteStatement isWritten = connection.Prepare("SELECT 1 FROM task_states WHERE status = ? AND block = ?");
    private readonly SqliteStatement insert = connection.Prepare("INSERT INTO task_states (status, block) VALUES (?, ?)");
    private readonly SqliteStatement delete = connection.Prepare("DELETE FROM task_states WHERE status = ? AND block = ?");

    private readonly Dictionary<long, Block> blocks = [];
    private readonly List<Block> touched = [];
    private Block? latest;

    /// <summary>Takes note of the state a task is now in. To be called before its row is written.</summary>
    internal void Note(long number, TaskState state)
    {
        var at = TaskPeople.BlockOf(number);
        var block = latest?.Number == at ? latest : latest = Find(at);
        if (!block.IsTouched)
        {
            block.IsTouched = true;
            touched.Add(block);
        }

        var (word, bit) = ((int)(number % TaskPeople.BlockSize) >> 6, 1UL << (int)(number & 63));
        for (var n = 0; n < Kept.Length; n++)
        {
            ref var bits = ref block.Bits[n][word];
            if (Kept[n] == state)
                bits |= bit;
            else
                bits &= ~bit;
        }
    }

    /// <summary>Writes what has changed. To be called once at the end of the batch.</summary>
    internal void Write()
    {
        foreach (var block in touched)
        {
            block.IsTouched = false;
            for (var n = 0; n < Kept.Length; n++)
            {
                var has = block.Bits[n].AsSpan().ContainsAnyExcept(0UL);
                if (has == block.IsWritten[n])
                    continue;

                Run(has ? insert : delete, n, block.Number);
                block.IsWritten[n] = has;
            }
        }

        touched.Clear();
        if (blocks.Count >= Remembered)
            Forget();
    }

    /// <summary>To be called after a rollback.</summary>
    internal void Forget()
    {
        blocks.Clear();
        touched.Clear();
        latest = null;
    }

    private Block Find(long number)
    {
        if (blocks.TryGetValue(number, out var block))
            return block;

        blocks.Add(number, block = new Block(number));
        for (var n = 0; n < Kept.Length; n++)
        {
            isWritten.BindText(1, Words.State.Word((int)Kept[n]));
            isWritten.Bind(2, number);
            block.IsWritten[n] = isWritten.Step();
            isWritten.Reset();
        }

        load.Bind(1, number * TaskPeople.BlockSize);
        load.Bind(2, (number + 1) * TaskPeople.BlockSize);
        while (load.Step())
        {
            var task = load.Int64(0);
            block.Bits[Array.IndexOf(Kept, Words.State.Parse(load.Utf8(1)))][(int)(task % TaskPeople.BlockSize) >> 6] |= 1UL << (int)(task & 63);
        }

        load.Reset();
        return block;
    }

    private static void Run(SqliteStatement change, int state, long block)
    {
        change.BindText(1, Words.State.Word((int)Kept[state]));
        change.Bind(2, block);
        change.Execute();
    }

    /// <summary>One bit a task for each of the states that are kept.</summary>
    private sealed class Block(long number)
    {
        internal readonly long Number = number;
        internal readonly ulong[][] Bits = [.. Kept.Select(_ => new ulong[TaskPeople.BlockSize / 64])];
        internal readonly bool[] IsWritten = new bool[Kept.Length];
        internal bool IsTouched;
    }
}
