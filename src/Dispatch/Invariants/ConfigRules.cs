using Dispatch.Settings;

namespace Dispatch.Invariants;

/// <summary>The rules for the events of the configuration.</summary>
internal sealed class ConfigRules(LogChecker log)
{
    public void Check(ConfigEvent data)
    {
        var happened = log.Current;
        log.CheckChain(0);
        if (happened.Subject != ConfigEvent.Subject || happened.Actor != "system" || happened.Session is not null)
            log.Find("I-13", $"it is said to be about {happened.Subject}, by {happened.Actor}, in session {happened.Session ?? "none"}");
        if (data is ConfigReloaded reloaded && reloaded.Applied.Concat(reloaded.NeedRestart).GroupBy(key => key, StringComparer.Ordinal).FirstOrDefault(keys => keys.Count() > 1) is { Key: var twice })
            log.Find("I-13", $"it names {twice} twice");
    }
}
