using System.Globalization;
using System.Text.Json.Nodes;
using Dispatch.Chaos.Histories;

namespace Dispatch.Chaos.Load;

/// <summary>A submission with its exact body, so that it can be repeated to the letter.</summary>
public sealed record Order(Invocation.Submit What, JsonNode Body)
{
    public bool IsRepeatable => What.Tasks.All(task => task.IsRepeatable);

    public bool IsBulk => Body is JsonArray;
}

/// <summary>Draws submissions: with and without keys and own ids, alone and in bulk, due later, waiting for others.</summary>
public sealed class OrderBook(string client, Random random)
{
    /// <summary>A worker holds one of these or both.</summary>
    public static readonly IReadOnlyList<string> Capabilities = ["alpha", "beta"];

    private int tokens;

    /// <param name="known">Ids of acknowledged tasks that it may wait for.</param>
    public Order Single(IReadOnlyList<string> known)
    {
        var (task, body) = Draw((Naming)random.Next(3), WaitFor(known, chance: 12));
        return new Order(new Invocation.Submit([task]), body);
    }

    /// <summary>2..24 tasks, all or none. Those with ids of their own may wait for earlier ones of the same array.</summary>
    public Order Bulk(IReadOnlyList<string> known)
    {
        var naming = (Naming)random.Next(3);
        var tasks = new List<NewTask>();
        var bodies = new JsonArray();
        for (var left = random.Next(2, 25); left > 0; left--)
        {
            var before = naming == Naming.Id && tasks.Count > 0 && random.Next(3) > 0 ? tasks.ConvertAll(task => task.Id!) : known;
            var (task, body) = Draw(naming, WaitFor(before, chance: naming == Naming.Id ? 60 : 8));
            tasks.Add(task);
            bodies.Add((JsonNode)body);
        }

        return new Order(new Invocation.Submit(tasks), bodies);
    }

    /// <summary>The key of a submission that was acknowledged, on a task that is another.</summary>
    public Order Forged(NewTask original)
    {
        var (task, body) = Draw(Naming.Key, []);
        body["idempotency_key"] = original.Key;
        return new Order(new Invocation.Submit([task with { Key = original.Key }], MustBeRefused: true), body);
    }

    private (NewTask Task, JsonObject Body) Draw(Naming naming, IReadOnlyList<string> dependsOn)
    {
        var token = $"{client}:{++tokens}";
        var task = new NewTask(
            token, naming == Naming.Key ? "key-" + token : null, naming == Naming.Id ? DrawId() : null, dependsOn, MaxRetries: random.Next(4));
        var body = new JsonObject
        {
            ["title"] = "chaos " + token,
            ["labels"] = new JsonObject { ["token"] = token },
            ["priority"] = random.Next(11),
            ["max_retries"] = task.MaxRetries,
            // Most run out of time before their agent runs out of its lease; some the other way round.
            ["timeout_ms"] = random.Next(5) == 0 ? 5_000 : random.Next(300, 2_500),
            ["context"] = new JsonObject { ["fill"] = new string('x', random.Next(20) == 0 ? 4_000 : random.Next(200)) },
        };
        if (random.Next(3) is var need && need < Capabilities.Count)
            body["required_capabilities"] = new JsonArray(Capabilities[need]);
        if (task.Key is not null)
            body["idempotency_key"] = task.Key;
        if (task.Id is not null)
            body["id"] = task.Id;
        if (dependsOn.Count > 0)
            body["depends_on"] = new JsonArray([.. dependsOn.Select(id => JsonValue.Create(id))]);
        if (random.Next(10) == 0)
            body["run_at"] = DateTimeOffset.UtcNow.AddMilliseconds(random.Next(20, 600)).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
        return (task, body);
    }

    private List<string> WaitFor(IReadOnlyList<string> among, int chance) =>
        among.Count == 0 || random.Next(100) >= chance
            ? []
            : Enumerable.Range(0, random.Next(1, 3)).Select(_ => among[random.Next(among.Count)]).Distinct().ToList();

    private string DrawId()
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        bytes[6] = (byte)((bytes[6] & 0x0f) | 0x40);
        bytes[8] = (byte)((bytes[8] & 0x3f) | 0x80);
        return new Guid(bytes, bigEndian: true).ToString();
    }

    private enum Naming
    {
        None,
        Key,
        Id,
    }
}
