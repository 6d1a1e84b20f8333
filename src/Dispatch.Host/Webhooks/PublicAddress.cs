using System.Net;
using System.Net.Sockets;

namespace Dispatch.Host.Webhooks;

/// <summary>Which addresses are on the public internet. What is not could be this machine or something behind its firewall.</summary>
internal static class PublicAddress
{
    // IANA's special-purpose registries, as far as nothing public can be there. Source: RFC 6890 and its updates.
    private static readonly (IPNetwork Network, string Kind)[] Special =
    [
        (IPNetwork.Parse("0.0.0.0/8"), "an unspecified address"),
        (IPNetwork.Parse("10.0.0.0/8"), "a private address"),
        (IPNetwork.Parse("100.64.0.0/10"), "a shared address of a provider's network"),
        (IPNetwork.Parse("127.0.0.0/8"), "a loopback address"),
        (IPNetwork.Parse("169.254.0.0/16"), "a link-local address"),
        (IPNetwork.Parse("172.16.0.0/12"), "a private address"),
        (IPNetwork.Parse("192.0.0.0/24"), "a reserved address"),
        (IPNetwork.Parse("192.0.2.0/24"), "a reserved address"),
        (IPNetwork.Parse("192.168.0.0/16"), "a private address"),
        (IPNetwork.Parse("198.18.0.0/15"), "a reserved address"),
        (IPNetwork.Parse("198.51.100.0/24"), "a reserved address"),
        (IPNetwork.Parse("203.0.113.0/24"), "a reserved address"),
        (IPNetwork.Parse("224.0.0.0/4"), "a multicast address"),
        (IPNetwork.Parse("240.0.0.0/4"), "a reserved address"),
        (IPNetwork.Parse("::/128"), "an unspecified address"),
        (IPNetwork.Parse("::1/128"), "a loopback address"),
        (IPNetwork.Parse("64:ff9b:1::/48"), "a private address"),
        (IPNetwork.Parse("100::/64"), "a reserved address"),
        (IPNetwork.Parse("2001::/23"), "a reserved address"),
        (IPNetwork.Parse("2001:db8::/32"), "a reserved address"),
        (IPNetwork.Parse("3fff::/20"), "a reserved address"),
        (IPNetwork.Parse("fc00::/7"), "a private address"),
        (IPNetwork.Parse("fe80::/10"), "a link-local address"),
        (IPNetwork.Parse("fec0::/10"), "a private address"),
        (IPNetwork.Parse("ff00::/8"), "a multicast address"),
    ];

    private static readonly IPNetwork Compatible = IPNetwork.Parse("::/96");
    private static readonly IPNetwork Translated = IPNetwork.Parse("64:ff9b::/96");
    private static readonly IPNetwork SixToFour = IPNetwork.Parse("2002::/16");

    /// <summary>What kind of address it is that keeps it from being public; null for a public one.</summary>
    public static string? WhyNot(IPAddress address)
    {
        // A scope does not make it another address.
        var plain = address.AddressFamily == AddressFamily.InterNetworkV6 && address.ScopeId != 0 ? new IPAddress(address.GetAddressBytes()) : address;
        foreach (var (network, kind) in Special)
        {
            if (network.Contains(plain))
                return kind;
        }

        return Inner(plain) is { } inner ? WhyNot(inner) : null;
    }

    /// <summary>The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (NAT64), 6to4.</summary>
    private static IPAddress? Inner(IPAddress address)
    {
        if (address.AddressFamily != AddressFamily.InterNetworkV6)
            return null;
        if (address.IsIPv4MappedToIPv6)
            return address.MapToIPv4();
        if (Compatible.Contains(address) || Translated.Contains(address))
            return new IPAddress(address.GetAddressBytes().AsSpan(12));
        return SixToFour.Contains(address) ? new IPAddress(address.GetAddressBytes().AsSpan(2, 4)) : null;
    }
}
