using System.Reflection;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Matching;
using Dispatch.Publishing;
using Dispatch.Questions;
using Dispatch.Retention;
using Dispatch.Sequencing;
using Dispatch.Sessions;
using Dispatch.Settings;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Host.Tests.Events;

/// <summary>The catalogue of events as it is told to people, written from the records themselves.</summary>
public sealed partial class CatalogueTests
{
    private static readonly TaskId Id = new(Guid.Parse("019a9f5e-7c00-7a31-9b1e-5d0c2f4a8e11"));

    private static readonly EventData[] Samples =
    [
        new TaskCreated(TaskState.Pending, "alice", "Count the lines of README.md", null, "lines", ["lines"], [], null, null, "import-42", "9f86d081884c7d65", 5, Json("""{"run":"42"}"""), Json("""{"path":"README.md"}"""), null, 300_000, 3, null, null, null, null),
        new TaskAssigned("counter-1", 1, 4, new MatchScore(2.5, 1, 0.5, 1, 1, 2, 3), Charge(("tokens-day/counter-1", 10_000), ("swarm-money", 35_000)), 60_000),
        new TaskStarted("counter-1", 1),
        new TaskProgressed("counter-1", 1, 40, "half-way", null),
        new TaskCompleted("counter-1", 1, Json("""{"lines":120}"""), Json("""{"tokens_in":900}"""), "small", Charge(("tokens-day/counter-1", 900), ("swarm-money", 2_700))),
        new TaskFailed("counter-1", 1, "the file is gone", true, null),
        new TaskTimedOut("counter-1", 1, "The run took longer than 300000 ms."),
        new TaskRetried(1, 1_795_166_400_000, false),
        new TaskCancelled("no longer needed"),
        new TaskReleased("counter-1", 1, "shutting down", null),
        new TaskReassigned("counter-1", 1, "agent_offline", 1, true),
        new TaskUpdated("patched", null, 8, null),
        new TaskDeadLettered(TaskState.Failed, "the file is gone"),
        new TaskUnmatched(WaitReason.NoCapability, "No registered agent has the capability 'lines'."),
        new TaskPruned([17, 21], 1, 1, 0, 0),
        new AgentRegistered(["lines"], "alice", Json("""{"site":"attic"}"""), 3, AgentStatus.Ready, null),
        new AgentStatusChanged(AgentStatus.Ready, AgentStatus.Busy),
        new AgentOffline(30_000),
        new AgentDeregistered("left"),
        new AgentDrained(),
        new AgentResumed(),
        new AgentWakeRequested(Id),
        new AgentWoken(),
        new AgentWakeFailed(30_000),
        new TokenCreated(new string('a', 64), "counter-1", "laptop", null),
        new TokenRevoked(),
        new SessionCreated("the visitor's", 1_795_252_800_000),
        new SessionTokenMade(new string('b', 64)),
        new SessionClosed(SessionEnd.Expired),
        new PublisherRegistered(["message.received"], null),
        new PublisherRemoved(),
        new LogTrimmed(5001, TrimReason.Age, new string('c', 64)),
        new WebhookCreated("portal.example.org", "the portal", ["task.*"], null, null, null),
        new WebhookUpdated("portal.example.org", "the portal", ["task.completed"], null, null, null),
        new WebhookDeleted(),
        new WebhookDisabled("No delivery succeeded for 24 hours."),
        new WebhookEnabled(),
        new WebhookSecretRotated(1_795_252_800_000),
        new WebhookUrlSet("https://portal.example.org/hooks/dispatch"),
        new WebhookSecretSet("whsec_..."),
        new QuestionAsked("tool.execution_requested", "call-9", "coder-1", Json("""{"tool":"bash_exec","command":"rm -r build"}"""), Verdict.Deny, ["safety"], 1_795_166_460_000),
        new QuestionAnswered("safety", Verdict.Modify, "Only the cache.", Json("""{"tool":"bash_exec","command":"rm -r build/cache"}"""), Verdict.Modify, "Only the cache."),
        new QuestionExpired(Verdict.Deny, "Nobody allowed it in time."),
        new QuestionWithdrawn("Withdrawn by coder-1."),
        new ResponderRegistered(["tool.*"]),
        new ResponderRemoved(),
        new ConfigReloaded(["agents.lease_ms", "logging.level"], ["server.port"]),
        new AllowanceSet(LimitLevel.Agent, "*", LimitUnit.Tokens, 200_000, new LimitWindow(WindowKind.Day, "Europe/Berlin", 6), null, null, 80, OnExceed.Finish, null, null),
        new AllowanceDeleted(),
        new AllowanceReset(1_795_150_800_000, 1_795_237_200_000, 183_500),
        new AllowanceWarning(LimitUnit.Tokens, 200_000, 161_000, 10_000, 80, 1_795_237_200_000, 1_795_195_000_000),
        new AllowanceExceeded(LimitUnit.Tokens, 200_000, 204_000, 0, 4_000, 1_795_237_200_000),
        new AllowanceCommitted("call-17", "counter-1", "9f86d081884c7d65", Id, 1, "small", Json("""{"tokens_in":400}"""), Charge(("tokens-day/counter-1", 400))),
        new MessageReceived("msg-1", Json("""{"from":"ada","text":"Hello"}""")),
        new ToolExecutionRequested("run-7", Json("""{"tool":"bash_exec","arguments":{"command":"ls"}}""")),
        new ToolExecuted("run-7-done", Json("""{"tool":"bash_exec","exit_code":0}""")),
        new MemoryUpdated("fact-123", Json("""{"content":"The user prefers dark mode"}""")),
    ];

    [Fact]
    public void The_page_tells_every_type_with_its_members_and_an_example()
    {
        var docs = XDocument.Load(Path.Combine(AppContext.BaseDirectory, "Dispatch.Core.xml")).Descendants("member").ToDictionary(member => member.Attribute("name")!.Value);
        var page = new StringBuilder("""
            # Types of events

            <!-- Written from the event records in src/Dispatch. Change those, then run the tests with UPDATE_DOCS=1. -->

            How they are followed, their envelope and their chain: [following events](following-events.md). The type of the envelope is `dispatch.` and the
            type. Names of types and members never change their meaning; members are only ever added. Times are Unix milliseconds,
            durations milliseconds.


            """);
        foreach (var kind in State.EventKinds.OrderBy(kind => kind.Source, StringComparer.Ordinal).ThenBy(kind => kind.Name, StringComparer.Ordinal))
            Write(page, kind, docs);

        GeneratedPage.Check("events.md", page.ToString().TrimEnd() + "\n");
    }

    [Fact]
    public void There_is_one_sample_of_each_kind() =>
        Assert.Equal(State.EventKinds.Select(kind => kind.Name).Order(StringComparer.Ordinal), Samples.Select(sample => sample.Kind.Name).Order(StringComparer.Ordinal));

    private static void Write(StringBuilder page, EventKind kind, Dictionary<string, XElement> docs)
    {
        var sample = Samples.Single(sample => sample.Kind == kind);
        var type = sample.GetType();
        Assert.True(docs.TryGetValue($"T:{type.FullName}", out var doc) && doc.Element("summary") is not null, $"{type.Name} says nothing about itself.");
        page.Append($"## `{kind.Name}`\n\n{Text(doc.Element("summary")!)}\n");
        page.Append(kind.Source.Length == 0 ? "Added by registered publishers; its source is the publisher.\n\n"
            : kind.IsInternal ? $"Raised by `{kind.Source}`. Internal: no follower outside the broker gets it.\n\n"
            : $"Raised by `{kind.Source}`.\n\n");
        var parameters = type.GetConstructors().Single(constructor => constructor.GetParameters() is not [{ ParameterType: var only }] || only != type).GetParameters();
        if (parameters.Length > 0)
        {
            page.Append("| Member | |\n|---|---|\n");
            foreach (var parameter in parameters)
            {
                var told = doc.Elements("param").FirstOrDefault(param => param.Attribute("name")!.Value == parameter.Name);
                page.Append($"| `{JsonNamingPolicy.SnakeCaseLower.ConvertName(parameter.Name!)}` | {Describe(parameter)}{(told is null ? "" : ": " + Text(told))} |\n");
            }

            page.Append('\n');
        }

        page.Append($"```json\n{Indented(sample)}\n```\n\n");
    }

    private static string Describe(ParameterInfo parameter)
    {
        var nullable = Nullable.GetUnderlyingType(parameter.ParameterType) ?? parameter.ParameterType;
        var optional = nullable != parameter.ParameterType || new NullabilityInfoContext().Create(parameter).WriteState == NullabilityState.Nullable;
        var name = nullable switch
        {
            { IsEnum: true } => "one of " + string.Join(", ", Enum.GetNames(nullable).Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)),
            { IsArray: true } => "array of " + Word(nullable.GetElementType()!),
            _ => Word(nullable),
        };
        return optional ? name + ", or absent" : name;
    }

    private static string Word(Type type) => type switch
    {
        _ when type == typeof(string) => "text",
        _ when type == typeof(TaskId) => "task id",
        _ when type == typeof(bool) => "true or false",
        _ when type == typeof(JsonBytes) => "JSON",
        _ when type == typeof(double) => "number",
        _ when type == typeof(byte) || type == typeof(int) || type == typeof(long) => "whole number",
        _ => "object",
    };

    private static string Text(XElement doc) => Spaces().Replace(string.Concat(doc.Nodes().Select(node => node switch
    {
        XElement { Name.LocalName: "c" } code => $"`{code.Value}`",
        XElement { Name.LocalName: "see" } see => $"`{(see.Attribute("cref")?.Value ?? "").Split('.')[^1]}`",
        _ => node.ToString(),
    })), " ").Trim();

    private static string Indented(EventData sample)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
            sample.WriteJson(json);
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    private static JsonBytes Json(string json) => JsonBytes.Parse(json);

    private static Amounts Charge(params (string Key, long Amount)[] amounts) => new([.. amounts.Select(pair => new KeyValuePair<string, long>(pair.Key, pair.Amount))]);

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}
