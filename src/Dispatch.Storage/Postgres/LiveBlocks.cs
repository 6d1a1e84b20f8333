using Dispatch.Storage.Rows;
using Dispatch.Tasks;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// Keeps <c>task_states</c> and <c>task_ends</c>: in which blocks of task numbers there is a task in each state before the last, and which tasks
/// ended other than completed. Knows all tasks that are not finished, one bit each. Used by one thread at a time.
/// </summary>
internal sealed class LiveBlocks
{
    /// <summary>The states kept by block.</summary>
    internal static readonly TaskState[] Kept = [TaskState.Scheduled, TaskState.Blocked, TaskState.Pending, TaskState.Assigned, TaskState.Running];

    /// <summary>Task lists along the indexes there are.</summary>
    internal static readonly ListingForms Listing = new()
    {
        Mark = '$',
        All = "tasks t",
        Labelled = "task_labels l JOIN tasks t ON t.number = l.number",
        Children = "tasks t",
        OfBlocks = static (blocks, alias) => $"{blocks} CROSS JOIN LATERAL (SELECT * FROM tasks n WHERE n.number >= {alias}.block * {TaskPeople.BlockSize} AND n.number < ({alias}.block + 1) * {TaskPeople.BlockSize}) t",
        StatesInBlocks = Kept,
        OfOtherStates = "task_ends e JOIN tasks t ON t.number = e.number",
        OtherState = "e.status = @",
    };

    private readonly Dictionary<long, Block> blocks = [];
    private readonly List<Block> touched = [];
    private Block? latest;

    /// <summary>Tasks of this batch that had ended other than completed, and have not any more.</summary>
    internal List<long> Revived { get; } = [];

    /// <summary>Reads what is written. Takes a second for a million unfinished tasks.</summary>
    internal async Task LoadAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        Forget();
        await foreach (var row in connection.QueryAsync(
            $"""
            SELECT s.status, s.block, t.number FROM task_states s
              LEFT JOIN LATERAL (SELECT number FROM tasks n WHERE n.number >= s.block * {TaskPeople.BlockSize} AND n.number < (s.block + 1) * {TaskPeople.BlockSize} AND n.status = s.status) t ON true
            """, cancel, isLong: true))
        {
            var state = Array.IndexOf(Kept, Words.State.Parse(row.Utf8(0)));
            var block = Find(row.Int64(1));
            block.IsWritten[state] = true;
            if (row.NullableInt64(2) is { } number)
                block.Bits[state][Word(number)] |= Bit(number);
        }

        latest = null;
    }

    /// <summary>Takes note of the state a task is now in.</summary>
    internal void Note(long number, TaskState state, bool isNew)
    {
        var at = TaskPeople.BlockOf(number);
        var block = latest?.Number == at ? latest : latest = Find(at);
        if (!block.IsTouched)
        {
            block.IsTouched = true;
            touched.Add(block);
        }

        var was = false;
        for (var n = 0; n < Kept.Length; n++)
        {
            ref var bits = ref block.Bits[n][Word(number)];
            was |= (bits & Bit(number)) != 0;
            if (Kept[n] == state)
                bits |= Bit(number);
            else
                bits &= ~Bit(number);
        }

        if (!was && !isNew && state is not (TaskState.Failed or TaskState.Timeout or TaskState.Cancelled))
            Revived.Add(number);
    }

    /// <summary>Tells what has changed: state and block, and whether the row comes or goes. To be called once at the end of a batch.</summary>
    internal void Tell(Action<TaskState, long, bool> change)
    {
        foreach (var block in touched)
        {
            block.IsTouched = false;
            var isEmpty = true;
            for (var n = 0; n < Kept.Length; n++)
            {
                var has = block.Bits[n].AsSpan().ContainsAnyExcept(0UL);
                isEmpty &= !has;
                if (has == block.IsWritten[n])
                    continue;

                change(Kept[n], block.Number, has);
                block.IsWritten[n] = has;
            }

            if (isEmpty)
                blocks.Remove(block.Number);
        }

        touched.Clear();
        Revived.Clear();
        latest = null;
    }

    private void Forget()
    {
        blocks.Clear();
        touched.Clear();
        Revived.Clear();
        latest = null;
    }

    private Block Find(long number) => blocks.TryGetValue(number, out var block) ? block : blocks[number] = new Block(number);

    private static int Word(long number) => (int)(number % TaskPeople.BlockSize) >> 6;

    private static ulong Bit(long number) => 1UL << (int)(number & 63);

    /// <summary>One bit a task for each of the states that are kept.</summary>
    private sealed class Block(long number)
    {
        internal readonly long Number = number;
        internal readonly ulong[][] Bits = [.. Kept.Select(_ => new ulong[TaskPeople.BlockSize / 64])];
        internal readonly bool[] IsWritten = new bool[Kept.Length];
        internal bool IsTouched;
    }
}
