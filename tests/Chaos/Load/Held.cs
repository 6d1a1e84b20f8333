using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Load;

/// <summary>What a worker means to do with an attempt.</summary>
public enum Plan
{
    Complete,
    Fail,
    FailForGood,
    Release,

    /// <summary>Begin it, outlive its time limit, then report it complete all the same: a zombie.</summary>
    CompleteLate,

    /// <summary>Begin it and never speak of it again.</summary>
    Abandon,
}

/// <summary>An attempt in a worker's hands.</summary>
public sealed class Held(Grant grant, Plan plan, long readyAtUs, string result)
{
    public Grant Grant => grant;

    /// <summary>The token of the one result this attempt may have.</summary>
    public string Result => result;

    public Plan Plan { get; set; } = plan;

    /// <summary>When the work is done, on the run's clock.</summary>
    public long ReadyAtUs { get; set; } = readyAtUs;

    public bool IsStarted { get; set; }

    /// <summary>A report that ends it was sent and not answered: it may have been taken.</summary>
    public bool MayHaveEnded { get; set; }

    public string Outcome => Plan switch
    {
        Plan.Fail or Plan.FailForGood => "failed",
        Plan.Release => "released",
        _ => "completed",
    };

    public Report End(string agent) =>
        new(agent, grant.Task, grant.Attempt, Outcome, Outcome == "completed" ? result : null, Retryable: Plan != Plan.FailForGood);
}
