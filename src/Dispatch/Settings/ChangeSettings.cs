using Dispatch.Sequencing;

namespace Dispatch.Settings;

/// <summary>
/// Puts other settings in force: what is decided after it, in this batch and later, is decided by them. They go back when its commit fails.
/// </summary>
/// <param name="Applied">Keys that have new values.</param>
/// <param name="NeedRestart">Keys that keep their values until the next start.</param>
/// <returns>The sequence number of the event.</returns>
public sealed record ChangeSettings(StateOptions Options, string[] Applied, string[] NeedRestart) : Command<long>
{
    public override long Decide(State state, Decision decision)
    {
        state.Change(Options);
        return decision.Raise(ConfigEvent.Subject, null, 0, new ConfigReloaded(Applied, NeedRestart)).Sequence;
    }
}
