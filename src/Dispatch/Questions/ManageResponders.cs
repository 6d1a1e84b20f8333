using Dispatch.Sequencing;

namespace Dispatch.Questions;

/// <summary>Registers a responder, or replaces its registration; the same again changes nothing.</summary>
/// <param name="Types">Sorted; exact, or all below a name (<c>tool.*</c>).</param>
public sealed record RegisterResponder(string Id, string[] Types) : Command<RegisteredResponder>
{
    public override RegisteredResponder Decide(State state, Decision decision)
    {
        var known = state.Questions.FindResponder(Id);
        if (known is null || !known.Types.AsSpan().SequenceEqual(Types))
            decision.Raise(Id, null, known?.LastSequence ?? 0, new ResponderRegistered(Types));
        return new RegisteredResponder(state.Questions.FindResponder(Id)!, known is null);
    }
}

public sealed record RegisteredResponder(Responder Responder, bool IsNew);

/// <summary>Takes a responder's right to answer. Open questions wait for it no more: the next answer of another settles them. Null: no such responder.</summary>
public sealed record RemoveResponder(string Id) : Command<Responder?>
{
    public override Responder? Decide(State state, Decision decision)
    {
        if (state.Questions.FindResponder(Id) is not { } responder)
            return null;

        decision.Raise(Id, null, responder.LastSequence, new ResponderRemoved());
        return responder;
    }
}

/// <summary>All responders, by id.</summary>
public sealed record ListResponders : Command<IReadOnlyList<Responder>>
{
    public override IReadOnlyList<Responder> Decide(State state, Decision decision) => state.Questions.Responders.ToArray();
}
