using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Questions;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Storage.Rows;

/// <summary>The enumerations that are columns.</summary>
internal static class Words
{
    internal static readonly EnumText<TaskState> State = new();
    internal static readonly EnumText<AttemptOutcome> Outcome = new();
    internal static readonly EnumText<AgentStatus> AgentStatus = new();
    internal static readonly EnumText<WebhookStatus> WebhookStatus = new();
    internal static readonly EnumText<QuestionStatus> QuestionStatus = new();
    internal static readonly EnumText<Verdict> Verdict = new();
    internal static readonly EnumText<LimitLevel> Level = new();
    internal static readonly EnumText<LimitUnit> Unit = new();
    internal static readonly EnumText<OnExceed> Exceed = new();
}
