using System.Text.Json;
using Dispatch.Tasks;

namespace Dispatch.Host.Http;

/// <summary>For whom a token is made.</summary>
/// <param name="ExpiresInMs">Null: it does not expire.</param>
internal sealed record TokenRequest(string Agent, string? Name, long? ExpiresInMs)
{
    /// <summary>Ten years.</summary>
    private const long MaxExpiryMs = 315_360_000_000;

    private static readonly MemberNames Known = new("agent_id", "name", "expires_in_ms");

    public static TokenRequest Read(JsonBody body)
    {
        var faults = new Faults();
        string? agent = null, label = null;
        long? expires = null;
        var isMissing = true;
        if (!body.HasRoot || body.Root.ValueKind != JsonValueKind.Object)
        {
            faults.Add("body", "must be a JSON object with agent_id");
            faults.ThrowIfAny();
        }

        foreach (var member in body.Root.EnumerateObject())
        {
            var name = Known.Of(member);
            if (member.Value.ValueKind == JsonValueKind.Null && Known.Has(name))
                continue;
            switch (name)
            {
                case "agent_id":
                    isMissing = false;
                    agent = faults.Name(member.Value, name);
                    break;
                case "name":
                    label = faults.Text(member.Value, name, TaskLimits.MaxName);
                    break;
                case "expires_in_ms":
                    expires = faults.Number(member.Value, name, 1, MaxExpiryMs);
                    break;
                default:
                    faults.Unknown(name, Known.All);
                    break;
            }
        }

        if (isMissing)
            faults.Add("agent_id", "is required");
        faults.ThrowIfAny();
        return new TokenRequest(agent!, label, expires);
    }
}
