using Dispatch.Agents;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Sequencing;

/// <summary>
/// The pure middle of the sequencer: takes commands one after another into an open batch, then closes it with what is due and
/// what can be matched. No I/O, no clock, no randomness of its own, one thread at a time.
/// </summary>
public sealed class Core
{
    private readonly Decision decision;
    private List<(Command Command, Answer Answer)> open = [];

    public Core(State state, IdSource ids, Random random)
    {
        State = state;
        decision = new Decision(state, ids, random);
    }

    public State State { get; }

    /// <summary>Commands in the open batch.</summary>
    public int OpenCommands => open.Count;

    /// <summary>Events in the open batch.</summary>
    public int OpenEvents => decision.Events.Count;

    /// <summary>Monotonic time of the next timer, or <see cref="long.MaxValue"/>. Wall-clock timers are looked at by the wall clock.</summary>
    public long NextDue => State.Due.NextDue;

    public long NextWallDue => State.WallDue.NextDue;

    /// <summary>True when closing a batch now would do something.</summary>
    public bool HasWork =>
        open.Count > 0 || decision.Events.Count > 0 || State.Matcher.HasWork || State.Due.NextDue <= State.Elapsed || State.WallDue.NextDue <= State.Now;

    public void MoveClocks(long now, long elapsed) => State.MoveClocks(now, elapsed);

    /// <summary>Decides one command into the open batch.</summary>
    public void Take(Command command, Answer answer)
    {
        open.Add((command, answer));
        if (command.Caller is { } caller && State.Agents.Find(caller) is { } agent)
        {
            decision.Actor = caller;
            Presence.SignOfLife(State, decision, agent, null);
        }

        decision.Actor = command.Actor;
        command.Run(State, decision, answer);
        Follow();
    }

    /// <summary>Fires what is due, matches, concludes the commands, and hands over the batch.</summary>
    public ClosedBatch Close()
    {
        decision.Actor = "system";
        for (var fired = 0; fired < State.Options.DueLimit; fired++)
        {
            if ((State.Due.TakeDue(State.Elapsed) ?? State.WallDue.TakeDue(State.Now)) is not { } timer)
                break;
            timer.Fire(State, decision);
            Follow();
        }

        State.Allowances.Alerts.Pause(decision);
        State.Matcher.Run(decision, State.Options.MatchLimit);
        foreach (var (_, answer) in open)
            answer.Conclude(State, decision);

        var (events, called) = decision.Take();
        var closed = new ClosedBatch(State.TakeBatch(events), open.ConvertAll(pair => pair.Answer), Calls(events, called)) { Settings = State.Options };
        open = [];
        return closed;
    }

    /// <summary>What follows from the questions that were settled and the tasks that ended in this step.</summary>
    private void Follow()
    {
        Confirmation.FollowSettled(State, decision);
        TaskEnding.ReleaseDependants(State, decision);
    }

    /// <summary>Takes the commands of the open batch back, unanswered: the state is to be thrown away.</summary>
    public IReadOnlyList<Answer> Abandon()
    {
        var answers = open.ConvertAll(pair => pair.Answer);
        open = [];
        return answers;
    }

    private static IReadOnlyCollection<string> Calls(List<DispatchEvent> events, HashSet<string> called)
    {
        foreach (var happened in events)
        {
            if (happened.Data is TaskAssigned assigned)
                called.Add(assigned.Agent);
        }

        return called;
    }
}

/// <param name="Answers">To be delivered after the commit, in order.</param>
/// <param name="Called">Agents whose waiting exchange should answer.</param>
public sealed record ClosedBatch(Batch Batch, IReadOnlyList<Answer> Answers, IReadOnlyCollection<string> Called)
{
    /// <summary>Those in force at its end.</summary>
    public required StateOptions Settings { get; init; }
}
