using Dispatch.Sequencing;

namespace Dispatch.Retention;

/// <summary>Moves the horizon of the log to behind a base, in the commit that tells of it; false: it is there or beyond already.</summary>
/// <param name="Base">Complete, and prepared for: see <see cref="IStore.PrepareTrimAsync"/>.</param>
public sealed record TrimLog(LogBase Base, TrimReason Reason) : Command<bool>
{
    public override bool Decide(State state, Decision decision)
    {
        if (Base.Sequence < state.Horizon || Base.Sequence > state.Sequence)
            return false;
        decision.Raise("log", null, 0, new LogTrimmed(Base.Sequence + 1, Reason, Base.Digest));
        return true;
    }
}
