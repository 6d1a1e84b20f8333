using System.Text.Json.Serialization;
using Dispatch.Allowances;
using Dispatch.Matching;
using Dispatch.Questions;
using Dispatch.Tasks;

namespace Dispatch.Storage.Rows;

/// <summary>How the values that are kept as JSON in a column are written and read.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(string[]))]
[JsonSerializable(typeof(TaskId[]))]
[JsonSerializable(typeof(MatchScore))]
[JsonSerializable(typeof(TaskProgress))]
[JsonSerializable(typeof(QuestionAnswer[]))]
[JsonSerializable(typeof(LimitWindow))]
[JsonSerializable(typeof(IReadOnlyList<RollingStep>))]
[JsonSerializable(typeof(TaskCost))]
[JsonSerializable(typeof(TaskCharge))]
[JsonSerializable(typeof(Amounts))]
internal sealed partial class RowJson : JsonSerializerContext;
