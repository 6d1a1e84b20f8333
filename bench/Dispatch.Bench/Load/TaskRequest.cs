using System.Text;

namespace Dispatch.Bench.Load;

/// <summary>
/// A prebuilt POST of one or many tasks, each with its own number written in place: unique bodies for the price of a
/// few digits. Each task is titled <c>bench 000000000001</c>.
/// </summary>
internal sealed class TaskRequest
{
    /// <summary>What the tasks require, and the agents of the benchmark offer.</summary>
    public const string Capability = "bench";

    private const string Path = "/api/v1/tasks";
    private const string Placeholder = "############";

    private readonly byte[] _template;
    private readonly int[] _numbers;
    private readonly int _numbersPerTask;

    private TaskRequest(Target target, string body, int tasks)
    {
        var content = Encoding.ASCII.GetBytes(body);
        _template = [.. target.PostHead(Path, "bench"), .. Encoding.ASCII.GetBytes($"{content.Length}\r\n\r\n"), .. content];
        _numbers = [.. FindAll(_template, Encoding.ASCII.GetBytes(Placeholder))];
        _numbersPerTask = _numbers.Length / tasks;
        Tasks = tasks;
        BodyBytes = content.Length;
    }

    /// <summary>Tasks in one request.</summary>
    public int Tasks { get; }

    /// <summary>Length of the body.</summary>
    public int BodyBytes { get; }

    /// <summary>One task as an object, about 120 bytes.</summary>
    public static TaskRequest Single(Target target) => new(target, SmallTask(), 1);

    /// <summary>An array of the same tasks.</summary>
    public static TaskRequest Bulk(Target target, int tasks) =>
        new(target, $"[{string.Join(',', Enumerable.Repeat(SmallTask(), tasks))}]", tasks);

    /// <summary>An array of tasks whose context has exactly <paramref name="contextBytes"/> bytes (at least 40).</summary>
    public static TaskRequest BulkWithContext(Target target, int tasks, int contextBytes)
    {
        const string Start = $"{{\"n\":\"{Placeholder}\",\"text\":\"";
        const string End = "\"}";
        var text = string.Concat(Enumerable.Repeat("what the agent is to know ", (contextBytes / 26) + 1));
        var context = Start + text[..(contextBytes - Start.Length - End.Length)] + End;
        var task = $$"""{"title":"bench {{Placeholder}}","required_capabilities":["{{Capability}}"],"context":{{context}}}""";
        return new(target, $"[{string.Join(',', Enumerable.Repeat(task, tasks))}]", tasks);
    }

    /// <summary>The request's bytes, for one connection to keep and have <see cref="Number"/>ed.</summary>
    public byte[] Copy() => [.. _template];

    /// <summary>Writes the numbers from <paramref name="first"/> on into the tasks of a <see cref="Copy"/>.</summary>
    public void Number(byte[] copy, long first)
    {
        for (var i = 0; i < _numbers.Length; i++)
        {
            var value = first + (i / _numbersPerTask);
            var digits = copy.AsSpan(_numbers[i], Placeholder.Length);
            for (var d = digits.Length - 1; d >= 0; d--)
            {
                digits[d] = (byte)('0' + (value % 10));
                value /= 10;
            }
        }
    }

    private static string SmallTask() =>
        $$$"""{"title":"bench {{{Placeholder}}}","required_capabilities":["{{{Capability}}}"],"context":{"path":"docs/{{{Placeholder}}}.md","words":1250}}""";

    private static IEnumerable<int> FindAll(byte[] text, byte[] part)
    {
        for (var at = text.AsSpan().IndexOf(part); at >= 0;)
        {
            yield return at;
            var next = text.AsSpan(at + part.Length).IndexOf(part);
            at = next < 0 ? -1 : at + part.Length + next;
        }
    }
}
