using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;

namespace Dispatch.Host.Http;

/// <summary>The members a kind of request may have. Tells the name of a member without making a text for each one that is known.</summary>
internal sealed class MemberNames(params string[] names)
{
    private readonly (byte[] Utf8, string Name)[] known = [.. names.Select(name => (Encoding.UTF8.GetBytes(name), name))];

    public IReadOnlyList<string> All => names;

    public string Of(JsonProperty member)
    {
        var raw = JsonMarshal.GetRawUtf8PropertyName(member);
        foreach (var (utf8, name) in known)
        {
            if (raw.SequenceEqual(utf8))
                return name;
        }

        return member.Name;
    }

    public bool Has(string name) => names.Contains(name, StringComparer.Ordinal);
}
