using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Allowances;
using Dispatch.Events;
using Dispatch.Questions;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Storage.Tests.Contract;

/// <summary>Equality by content: records compare their arrays by reference.</summary>
internal static class Same
{
    internal static void Task(WorkTask expected, WorkTask? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.DependsOn, actual.DependsOn);
        Assert.Equal(expected with { DependsOn = actual.DependsOn }, actual);
    }

    internal static void Stored(StoredTask expected, StoredTask? actual)
    {
        Assert.NotNull(actual);
        Task(expected.Task, actual.Task);
        Assert.Equal(expected.Spec, actual.Spec);
        Assert.Equal(expected.Result, actual.Result);
    }

    internal static void Agent(Agent expected, Agent? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.Capabilities, actual.Capabilities);
        Assert.Equal(expected with { Capabilities = actual.Capabilities }, actual);
    }

    internal static void Question(Question expected, Question? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.Awaited, actual.Awaited);
        Assert.Equal(expected.Answers, actual.Answers);
        Assert.Equal(expected with { Awaited = actual.Awaited, Answers = actual.Answers }, actual);
    }

    internal static void Limit(Limit expected, Limit? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.Allow, actual.Allow);
        Assert.Equal(expected.Deny, actual.Deny);
        Assert.Equal(expected with { Allow = actual.Allow, Deny = actual.Deny }, actual);
    }

    internal static void Balance(LimitBalance expected, LimitBalance? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(expected.Steps, actual.Steps);
        Assert.Equal(expected with { Steps = actual.Steps }, actual);
    }

    internal static void Event(DispatchEvent expected, DispatchEvent? actual)
    {
        Assert.NotNull(actual);
        Assert.Equal(Text(expected.Data), Text(actual.Data));
        Assert.Equal(expected with { Data = actual.Data }, actual);
    }

    internal static void Each<T>(IReadOnlyList<T> expected, IReadOnlyList<T> actual, Action<T, T?> same)
    {
        Assert.Equal(expected.Count, actual.Count);
        for (var n = 0; n < expected.Count; n++)
            same(expected[n], actual[n]);
    }

    private static string Text(EventData data)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer))
            data.WriteJson(writer);
        return $"{data.GetType().Name} {System.Text.Encoding.UTF8.GetString(buffer.ToArray())}";
    }
}
