using System.Buffers;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Http;
using Dispatch.Host.Streams;
using Dispatch.Questions;
using Dispatch.Tasks;

namespace Dispatch.Host.Questions;

/// <summary>Reads what is asked, answered and registered.</summary>
internal static class QuestionRequest
{
    /// <summary>Largest proposal or replacement, in bytes.</summary>
    public const int MaxJson = 64 << 10;

    /// <summary>Longest a question may wait, in milliseconds: 30 days.</summary>
    public const long MaxTimeoutMs = 30L * 86_400_000;

    private const int MaxTypes = 100;
    private const int MaxType = 128;

    private static readonly MemberNames OfQuestion = new("type", "about", "session", "proposal", "default", "timeout_ms");
    private static readonly MemberNames OfAnswer = new("answer", "reason", "replacement");
    private static readonly MemberNames OfResponder = new("types");
    private static readonly MemberNames OfTaskChange = new("title", "description", "context", "priority");
    private static readonly SearchValues<char> InType = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789_-.");

    public static AskQuestion ReadQuestion(JsonBody body, long defaultTimeoutMs)
    {
        var faults = new Faults();
        string? type = null, about = null, session = null;
        JsonBytes? proposal = null;
        var missing = Verdict.Deny;
        var timeout = defaultTimeoutMs;
        foreach (var (name, value) in Members(body, OfQuestion, "type, about and proposal", faults))
        {
            switch (name)
            {
                case "type":
                    type = Type(value, name, faults);
                    break;
                case "about":
                    about = faults.Name(value, name);
                    break;
                case "session":
                    session = faults.Name(value, name);
                    break;
                case "proposal":
                    proposal = Object(value, name, faults);
                    break;
                case "default":
                    missing = ReadVerdict(value, name, faults, "deny or allow", Verdict.Deny, Verdict.Allow);
                    break;
                case "timeout_ms":
                    timeout = faults.Number(value, name, 1_000, MaxTimeoutMs);
                    break;
            }
        }

        Require(faults, ("type", type is not null), ("about", about is not null), ("proposal", proposal is not null));
        return new AskQuestion(type!, about!, session, proposal!, missing, timeout);
    }

    /// <param name="ofTask">Whether the question is the broker's own about a task: a replacement then has a task's members.</param>
    public static AnswerQuestion ReadAnswer(JsonBody body, string question, bool ofTask)
    {
        var faults = new Faults();
        Verdict? answer = null;
        string? reason = null;
        JsonBytes? replacement = null;
        foreach (var (name, value) in Members(body, OfAnswer, "answer", faults))
        {
            switch (name)
            {
                case "answer":
                    answer = ReadVerdict(value, name, faults, "allow, deny or modify", Verdict.Allow, Verdict.Deny, Verdict.Modify);
                    break;
                case "reason":
                    reason = faults.Text(value, name, TaskLimits.MaxMessage, multiline: true);
                    break;
                case "replacement":
                    replacement = ofTask ? TaskChange(value, name, faults) : Object(value, name, faults);
                    break;
            }
        }

        Require(faults, ("answer", answer is not null));
        if (answer == Verdict.Modify && replacement is null)
            faults.Add("replacement", "is required with modify: what is to be done instead");
        else if (answer != Verdict.Modify && replacement is not null)
            faults.Add("replacement", "goes with modify only");
        faults.ThrowIfAny();
        return new AnswerQuestion(question, answer!.Value, reason, replacement);
    }

    public static RegisterResponder ReadResponder(JsonBody body, string id)
    {
        var faults = new Faults();
        string[] types = [];
        foreach (var (name, value) in Members(body, OfResponder, "types", faults))
            types = EventFilterReader.Types(faults.Names(value, name, MaxTypes), name, faults);
        if (id is "admin" or "system")
            faults.Add("id", "is a name of the broker's own");
        Require(faults, ("types", types.Length > 0));
        return new RegisterResponder(id, [.. types.Order(StringComparer.Ordinal)]);
    }

    private static IEnumerable<(string Name, JsonElement Value)> Members(JsonBody body, MemberNames known, string expected, Faults faults)
    {
        if (!body.HasRoot || body.Root.ValueKind != JsonValueKind.Object)
        {
            faults.Add("body", $"must be a JSON object with {expected}");
            faults.ThrowIfAny();
        }

        foreach (var member in body.Root.EnumerateObject())
        {
            var name = known.Of(member);
            if (!known.Has(name))
                faults.Unknown(name, known.All);
            else if (member.Value.ValueKind != JsonValueKind.Null)
                yield return (name, member.Value);
        }
    }

    private static void Require(Faults faults, params ReadOnlySpan<(string Name, bool IsThere)> members)
    {
        if (faults.Count == 0)
        {
            foreach (var (name, isThere) in members)
            {
                if (!isThere)
                    faults.Add(name, "is required");
            }
        }

        faults.ThrowIfAny();
    }

    private static string? Type(JsonElement value, string field, Faults faults)
    {
        var type = faults.Text(value, field, MaxType);
        if (type is not null && FaultOfType(type) is { } fault)
            faults.Add(field, fault, value);
        return type;
    }

    /// <summary>What is wrong with a type that somebody wants to ask about; null when nothing is.</summary>
    public static string? FaultOfType(string type)
    {
        if (type == Question.TaskConfirmation)
            return "is asked by the broker itself: submit a task with confirm";
        var words = type.Split('.');
        return type.Length > MaxType || words.Length < 2 || words.Contains("") || type.AsSpan().ContainsAnyExcept(InType)
            ? "must be a dotted name in lower case, as in tool.execution_requested" : null;
    }

    /// <summary>A change of a task in the form in which the core reads it.</summary>
    /// <exception cref="ArgumentException">It changes nothing, or what can't be changed.</exception>
    public static JsonBytes TaskChange(JsonBytes replacement)
    {
        using var document = JsonDocument.Parse(replacement.Memory);
        var faults = new Faults();
        var change = TaskChange(document.RootElement, "replacement", faults);
        try
        {
            faults.ThrowIfAny();
        }
        catch (ProblemException fault)
        {
            throw new ArgumentException(fault.Problem.Detail, nameof(replacement), fault);
        }

        return change!;
    }

    private static Verdict ReadVerdict(JsonElement value, string field, Faults faults, string known, params ReadOnlySpan<Verdict> allowed)
    {
        foreach (var verdict in allowed)
        {
            if (value.ValueKind == JsonValueKind.String && value.ValueEquals(QuestionWriter.Word(verdict)))
                return verdict;
        }

        faults.Add(field, $"must be {known}", value);
        return Verdict.Deny;
    }

    private static JsonBytes? Object(JsonElement value, string field, Faults faults)
    {
        var given = faults.Object(value, field);
        if (given?.Length > MaxJson)
            faults.Add(field, $"is {given.Length} bytes; at most {MaxJson} are allowed");
        return given;
    }

    /// <summary>What is to be different, in the form in which the core reads it: the priority as a number.</summary>
    private static JsonBytes? TaskChange(JsonElement value, string field, Faults faults)
    {
        if (faults.Object(value, field) is null)
            return null;
        var buffer = new ArrayBufferWriter<byte>(128);
        using (var json = new Utf8JsonWriter(buffer, EventData.WriterOptions))
        {
            json.WriteStartObject();
            foreach (var member in value.EnumerateObject())
            {
                var name = OfTaskChange.Of(member);
                switch (name)
                {
                    case "title":
                        json.WriteString(name, faults.Text(member.Value, $"{field}.{name}", TaskLimits.MaxTitle));
                        break;
                    case "description":
                        json.WriteString(name, faults.Text(member.Value, $"{field}.{name}", TaskLimits.MaxDescription, multiline: true, allowEmpty: true));
                        break;
                    case "context" when Object(member.Value, $"{field}.{name}", faults) is { } context:
                        json.WritePropertyName(name);
                        json.WriteRawValue(context.Span, skipInputValidation: true);
                        break;
                    case "context":
                        break;
                    case "priority":
                        json.WriteNumber(name, TaskReader.Priority(member.Value, $"{field}.{name}", faults));
                        break;
                    default:
                        faults.Unknown($"{field}.{name}", [.. OfTaskChange.All.Select(known => $"{field}.{known}")]);
                        break;
                }
            }

            json.WriteEndObject();
        }

        if (buffer.WrittenCount == 2)
            faults.Add(field, $"must have at least one of {string.Join(", ", OfTaskChange.All)}");
        return new JsonBytes(buffer.WrittenSpan.ToArray());
    }
}
