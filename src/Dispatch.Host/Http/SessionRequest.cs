using System.Text.Json;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>The session that is to be opened.</summary>
/// <param name="Id">Null: the broker makes one.</param>
internal sealed record SessionRequest(string? Id, string? Name, long ExpiresInMs)
{
    private const long DefaultExpiryMs = 86_400_000;
    private const long MaxExpiryMs = 365 * DefaultExpiryMs;

    private static readonly MemberNames Known = new("session", "name", "expires_in_ms");

    public static SessionRequest Read(JsonBody body)
    {
        var wanted = new SessionRequest(null, null, DefaultExpiryMs);
        if (!body.HasRoot)
            return wanted;
        var faults = new Faults();
        if (body.Root.ValueKind != JsonValueKind.Object)
        {
            faults.Add("body", "must be a JSON object");
            faults.ThrowIfAny();
        }

        foreach (var member in body.Root.EnumerateObject())
        {
            var name = Known.Of(member);
            if (member.Value.ValueKind == JsonValueKind.Null && Known.Has(name))
                continue;
            switch (name)
            {
                case "session":
                    wanted = wanted with { Id = faults.Name(member.Value, name) };
                    break;
                case "name":
                    wanted = wanted with { Name = faults.Text(member.Value, name, TaskLimits.MaxName) };
                    break;
                case "expires_in_ms":
                    wanted = wanted with { ExpiresInMs = faults.Number(member.Value, name, 1_000, MaxExpiryMs) };
                    break;
                default:
                    faults.Unknown(name, Known.All);
                    break;
            }
        }

        faults.ThrowIfAny();
        return wanted;
    }
}
