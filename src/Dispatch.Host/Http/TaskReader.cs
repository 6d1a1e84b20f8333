using System.Buffers;
using System.Text.Json;
using Dispatch.Allowances;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>Reads what a requester submits.</summary>
internal static class TaskReader
{
    private static readonly MemberNames Known = new(
        "id", "title", "description", "scope", "required_capabilities", "preferred_capabilities", "labels", "owner", "submitter", "session", "priority",
        "context", "timeout_ms", "max_retries", "run_at", "deadline", "depends_on", "parent_id", "idempotency_key", "estimate", "budget", "requester", "confirm");

    private static readonly string[] KeptByBroker =
    [
        "status", "assignee", "attempt", "retry_count", "progress", "result", "error", "usage", "created_at", "assigned_at", "started_at", "completed_at",
        "next_attempt_at", "dead_lettered", "attempts", "reserved", "max_run_ms",
    ];

    /// <summary>One task, or an array of up to <see cref="TaskLimits.MaxBulk"/>.</summary>
    /// <exception cref="ProblemException">Something is wrong: every fault is named.</exception>
    public static NewTask[] Read(JsonElement root, string caller, long defaultTimeoutMs, long now)
    {
        var faults = new Faults();
        NewTask[] tasks;
        if (root.ValueKind == JsonValueKind.Array)
        {
            var count = root.GetArrayLength();
            if (count is 0 or > TaskLimits.MaxBulk)
            {
                faults.Add("body", $"the array holds {count} tasks; from 1 to {TaskLimits.MaxBulk} are allowed");
                faults.ThrowIfAny();
            }

            tasks = new NewTask[count];
            var i = 0;
            foreach (var item in root.EnumerateArray())
            {
                faults.Enter("tasks", i);
                tasks[i++] = item.ValueKind == JsonValueKind.Object ? ReadOne(item, caller, defaultTimeoutMs, now, faults) : NoTask(faults, "");
            }
        }
        else
        {
            tasks = [root.ValueKind == JsonValueKind.Object ? ReadOne(root, caller, defaultTimeoutMs, now, faults) : NoTask(faults, "body")];
        }

        faults.ThrowIfAny();
        return tasks;
    }

    private static NewTask NoTask(Faults faults, string field)
    {
        faults.Add(field, "must be a JSON object");
        return new NewTask { Spec = new TaskSpec { Title = "" } };
    }

    private static NewTask ReadOne(JsonElement root, string caller, long defaultTimeoutMs, long now, Faults faults)
    {
        var before = faults.Count;
        string? title = null, description = null, scope = null, owner = null, submitter = null, session = null, key = null;
        string[] required = [], preferred = [];
        Events.JsonBytes? labels = null, context = null, estimate = null;
        Amounts? budget = null;
        TaskId? id = null, parent = null;
        TaskId[] dependsOn = [];
        byte priority = TaskLimits.DefaultPriority;
        var timeout = defaultTimeoutMs;
        var retries = TaskLimits.DefaultRetries;
        long? runAt = null, deadline = null;
        var confirm = false;

        foreach (var member in root.EnumerateObject())
        {
            var value = member.Value;
            var name = Known.Of(member);

            // Given as "none" by clients that write every member they know.
            if (value.ValueKind == JsonValueKind.Null && Known.Has(name))
                continue;

            switch (name)
            {
                case "id":
                    id = faults.Id(value, "id");
                    break;
                case "confirm":
                    confirm = faults.Flag(value, "confirm");
                    break;
                case "title":
                    title = faults.Text(value, "title", TaskLimits.MaxTitle);
                    break;
                case "description":
                    description = faults.Text(value, "description", TaskLimits.MaxDescription, multiline: true, allowEmpty: true);
                    break;
                case "scope":
                    scope = faults.Text(value, "scope", TaskLimits.MaxName)?.Trim();
                    break;
                case "required_capabilities":
                    required = faults.Names(value, "required_capabilities", TaskLimits.MaxCapabilities);
                    break;
                case "preferred_capabilities":
                    preferred = faults.Names(value, "preferred_capabilities", TaskLimits.MaxCapabilities);
                    break;
                case "labels":
                    labels = faults.Labels(value, "labels");
                    break;
                case "owner":
                    owner = faults.Text(value, "owner", TaskLimits.MaxName);
                    break;
                case "submitter":
                    submitter = faults.Text(value, "submitter", TaskLimits.MaxName);
                    break;
                case "session":
                    session = faults.Text(value, "session", TaskLimits.MaxName);
                    break;
                case "priority":
                    priority = Priority(value, "priority", faults);
                    break;
                case "context":
                    context = faults.Object(value, "context");
                    break;
                case "estimate":
                    estimate = faults.Estimate(value, "estimate");
                    break;
                case "budget":
                    budget = faults.Budget(value, "budget");
                    break;
                case "timeout_ms":
                    timeout = faults.Number(value, "timeout_ms", 1, TaskLimits.MaxTimeoutMs);
                    break;
                case "max_retries":
                    retries = (int)faults.Number(value, "max_retries", 0, TaskLimits.MaxRetries);
                    break;
                case "run_at":
                    runAt = faults.Time(value, "run_at");
                    break;
                case "deadline":
                    deadline = faults.Time(value, "deadline");
                    break;
                case "depends_on":
                    dependsOn = faults.Ids(value, "depends_on", TaskLimits.MaxDependencies);
                    break;
                case "parent_id":
                    parent = faults.Id(value, "parent_id");
                    break;
                case "idempotency_key":
                    key = faults.Text(value, "idempotency_key", TaskLimits.MaxName);
                    break;
                case "requester":
                    if (value.ValueKind != JsonValueKind.String || !value.ValueEquals(caller))
                        faults.Add("requester", "is the caller; leave it out", value);
                    break;
                default:
                    if (KeptByBroker.Contains(name, StringComparer.Ordinal))
                        faults.Add(name, "is kept by the broker and can't be given");
                    else
                        faults.Unknown(name, Known.All);
                    break;
            }
        }

        if (title is null && (!root.TryGetProperty("title", out var given) || given.ValueKind == JsonValueKind.Null))
            faults.Add("title", "is required");
        if (deadline <= now)
            faults.Add("deadline", "has passed already");
        if (runAt is not null && deadline <= runAt)
            faults.Add("deadline", "must come after run_at");
        if (id is not null && dependsOn.Contains(id.Value))
            faults.Add("depends_on", "a task can't wait for itself: the dependencies go round in a circle");

        if (scope is not null && !required.Contains(scope, StringComparer.OrdinalIgnoreCase))
            required = [.. required, scope];
        var task = new NewTask
        {
            Id = id,
            Spec = new TaskSpec
            {
                Title = title ?? "",
                Description = description,
                Scope = scope,
                Labels = labels,
                Context = context is { Length: 2 } ? null : context,
                Estimate = estimate,
                Budget = budget,
                Submitter = submitter,
                IdempotencyKey = key,
                Confirm = confirm,
            },
            Required = required,
            Preferred = preferred,
            Owner = owner,
            Session = session,
            Priority = priority,
            TimeoutMs = timeout,
            MaxRetries = retries,
            RunAt = runAt,
            Deadline = deadline,
            DependsOn = dependsOn,
            Parent = parent,
        };
        return (key is null && id is null) || faults.Count > before ? task : task with { BodyHash = Hash(task) };
    }

    public static byte Priority(JsonElement value, string field, Faults faults)
    {
        if (value.ValueKind != JsonValueKind.String)
            return (byte)faults.Number(value, field, 0, TaskLimits.MaxPriority);

        switch (value.GetString())
        {
            case "critical":
                return 10;
            case "high":
                return 8;
            case "normal" or "medium":
                return 5;
            case "low":
                return 2;
            default:
                faults.Add(field, "must be a whole number from 0 to 10, or critical, high, normal, medium or low", value);
                return 0;
        }
    }

    // Two requests are the same when all their members are: written in one fixed order, whatever order they came in.
    private static string Hash(NewTask task)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { SkipValidation = true }))
        {
            var spec = task.Spec;
            writer.WriteStartArray();
            foreach (var text in (ReadOnlySpan<string?>)[task.Id?.ToString(), spec.Title, spec.Description, spec.Scope, spec.Submitter, task.Owner, task.Session])
                writer.WriteStringValue(text);
            foreach (var names in (ReadOnlySpan<string[]>)[task.Required, task.Preferred])
            {
                writer.WriteStartArray();
                foreach (var name in names)
                    writer.WriteStringValue(name);
                writer.WriteEndArray();
            }

            foreach (var json in (ReadOnlySpan<Events.JsonBytes?>)[spec.Labels, spec.Context, spec.Estimate])
            {
                if (json is null)
                    writer.WriteNullValue();
                else
                    writer.WriteRawValue(json.Span, skipInputValidation: true);
            }

            foreach (var number in (ReadOnlySpan<long>)[task.Priority, task.TimeoutMs, task.MaxRetries, task.RunAt ?? 0, task.Deadline ?? 0])
                writer.WriteNumberValue(number);
            foreach (var dependency in task.DependsOn)
                writer.WriteStringValue(dependency.Value);
            writer.WriteStringValue(task.Parent?.ToString());
            if (spec.Confirm) // only then: the hashes of earlier releases stay
                writer.WriteBooleanValue(true);
            foreach (var (unit, amount) in spec.Budget is { } budget ? budget.Items : default)
            {
                writer.WriteStringValue(unit);
                writer.WriteNumberValue(amount);
            }

            writer.WriteEndArray();
        }

        return SubmitTasks.HashBody(buffer.WrittenSpan);
    }
}
