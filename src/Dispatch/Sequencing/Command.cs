namespace Dispatch.Sequencing;

/// <summary>
/// Something a caller wants. <see cref="Command{T}.Decide"/> reads the state, checks everything, then raises events; it does no I/O,
/// and takes time, ids and randomness from the decision.
/// </summary>
public abstract record Command
{
    /// <summary>The agent id of who asks. A registered agent's every command is a sign of its life.</summary>
    public string? Caller { get; init; }

    /// <summary>True when the caller showed the admin token.</summary>
    public bool ByAdmin { get; init; }

    /// <summary>Who stands in the events it causes.</summary>
    internal string Actor => ByAdmin ? "admin" : Caller ?? "system";

    internal abstract void Run(State state, Decision decision, Answer answer);
}

/// <typeparam name="T">The closed family of outcomes.</typeparam>
public abstract record Command<T> : Command
{
    public abstract T Decide(State state, Decision decision);

    /// <summary>Called once matching has run in the same batch, for outcomes that tell what it brought.</summary>
    public virtual T Conclude(State state, Decision decision, T outcome) => outcome;

    internal override void Run(State state, Decision decision, Answer answer) => ((Answer<T>)answer).Outcome = Decide(state, decision);
}

/// <summary>Where a command's outcome waits for its commit.</summary>
public abstract class Answer
{
    internal abstract void Conclude(State state, Decision decision);

    internal abstract void Deliver();

    internal abstract void Refuse(Exception reason);
}

/// <summary>The outcome reaches the caller after the commit, never before.</summary>
public sealed class Answer<T>(Command<T> command) : Answer
{
    private readonly TaskCompletionSource<T> source = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal T Outcome { get; set; } = default!;

    public Task<T> Task => source.Task;

    internal override void Conclude(State state, Decision decision) => Outcome = command.Conclude(state, decision, Outcome);

    internal override void Deliver() => source.TrySetResult(Outcome);

    internal override void Refuse(Exception reason) => source.TrySetException(reason);
}
