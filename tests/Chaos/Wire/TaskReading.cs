using System.Text.Json;
using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Wire;

/// <summary>Reads the parts of a task's JSON that are judged.</summary>
public static class TaskReading
{
    /// <exception cref="KeyNotFoundException">A member that is always present is missing.</exception>
    public static Sight ReadSight(this JsonElement task) =>
        new(task.Text("id"), task.Text("status"), task.GetProperty("attempt").GetInt32(), task.ResultToken());

    /// <summary>The label that names the submission this task comes from, or null.</summary>
    public static string? Token(this JsonElement task) => task.GetProperty("labels").FindText("token");

    public static string? ResultToken(this JsonElement task) =>
        task.TryGetProperty("result", out var result) && result.ValueKind == JsonValueKind.Object ? result.FindText("token") : null;

    public static string Text(this JsonElement element, string name) =>
        element.GetProperty(name).GetString() ?? throw new JsonException($"{name} is null.");

    public static string? FindText(this JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) ? value.GetString() : null;
}
