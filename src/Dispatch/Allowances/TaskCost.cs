using System.Text.Json;
using Dispatch.Events;
using Dispatch.Tasks;

namespace Dispatch.Allowances;

/// <summary>What a task is expected to use; null where nothing is said. Never negative.</summary>
/// <param name="Money">Micro-units of the configured currency.</param>
public sealed record Estimate(
    long? TokensIn = null, long? TokensOut = null, long? Tokens = null, long? Money = null, long? Requests = null, long? PullRequests = null, long? Issues = null)
{
    public static readonly Estimate None = new();

    /// <summary>Names that mean something in an estimate and in what was used; others are kept and count for nothing.</summary>
    public static readonly IReadOnlyList<string> Names = ["tokens_in", "tokens_out", "tokens", "money", "requests", "pull_requests", "issues"];

    /// <summary>Tokens in and out together, if anything is said of them.</summary>
    public long? AllTokens => Tokens ?? (TokensIn is null && TokensOut is null ? null : Amounts.Add(TokensIn ?? 0, TokensOut ?? 0));

    /// <summary>Reads the members that mean something.</summary>
    public static Estimate Read(JsonElement value) => new(
        Find(value, "tokens_in"), Find(value, "tokens_out"), Find(value, "tokens"), Find(value, "money"), Find(value, "requests"), Find(value, "pull_requests"),
        Find(value, "issues"));

    /// <summary>The same.</summary>
    public static Estimate Read(JsonBytes? value)
    {
        if (value is null)
            return None;
        using var document = JsonDocument.Parse(value.Memory);
        return Read(document.RootElement);
    }

    /// <summary>Every number up to the next power of two: what asks for about the same waits in one line.</summary>
    internal Estimate Rounded() => new(Round(TokensIn), Round(TokensOut), Round(Tokens), Round(Money), Round(Requests), Round(PullRequests), Round(Issues));

    private static long? Round(long? value) => value is not { } number ? null : number <= 1 ? number : number > 1L << 62 ? long.MaxValue : (long)System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)number);

    private static long? Find(JsonElement value, string name) =>
        value.ValueKind == JsonValueKind.Object && value.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.Number
        && member.TryGetInt64(out var number) && number >= 0 ? number : null;
}

/// <summary>What a task says that allowances depend on. Those of equal content are mostly one instance.</summary>
/// <param name="Model">Member <c>model</c> of its estimate.</param>
/// <param name="Repo">Its label <c>repo</c>.</param>
/// <param name="BudgetOf">The task whose budget it draws on: itself, or the nearest one above it that has one; none when there is none.</param>
public sealed record TaskCost(string? Model, string? Repo, TaskId BudgetOf, Estimate Estimate)
{
    /// <summary>The same with a rounded estimate: tasks of equal class and equal needs wait in one line.</summary>
    internal TaskCost? Class { get; private init; }

    /// <summary>What a new task says; null when it says nothing of this.</summary>
    internal static TaskCost? Of(JsonBytes? estimate, JsonBytes? labels, TaskId budgetOf)
    {
        var (model, expected) = ((string?)null, Estimate.None);
        if (estimate is not null)
        {
            using var document = JsonDocument.Parse(estimate.Memory);
            expected = Estimate.Read(document.RootElement);
            model = Text(document.RootElement, "model");
        }

        string? repo = null;
        if (labels is not null)
        {
            using var document = JsonDocument.Parse(labels.Memory);
            repo = Text(document.RootElement, "repo");
        }

        if (model is null && repo is null && budgetOf.IsNone && expected == Estimate.None)
            return null;
        return new TaskCost(model, repo, budgetOf, expected).WithClass();
    }

    internal TaskCost WithClass() => this with { Class = new TaskCost(Model, Repo, BudgetOf, Estimate.Rounded()) };

    public bool Equals(TaskCost? other) =>
        other is not null && BudgetOf == other.BudgetOf && string.Equals(Model, other.Model, StringComparison.Ordinal)
        && string.Equals(Repo, other.Repo, StringComparison.Ordinal) && Estimate == other.Estimate;

    public override int GetHashCode() => HashCode.Combine(Model, Repo, BudgetOf, Estimate);

    private static string? Text(JsonElement value, string name) =>
        value.ValueKind == JsonValueKind.Object && value.TryGetProperty(name, out var member) && member.ValueKind == JsonValueKind.String ? member.GetString() : null;
}

/// <summary>What the attempt in hand has reserved, and what of it has been spent already.</summary>
/// <param name="Reserved">What is still kept for it, by balance: also with 0, for what is booked on at its end.</param>
/// <param name="Reported">What usage reports have booked for it; null for nothing.</param>
public sealed record TaskCharge(Amounts Reserved, Amounts? Reported = null);
