using System.Globalization;
using Npgsql;

namespace Dispatch.Storage.Postgres;

/// <summary>
/// The form <c>postgresql://user:password@host:port,host2:port2/database?sslmode=verify-full&amp;sslrootcert=/etc/ca.pem</c> (or <c>postgres://</c>), as
/// libpq has it. What it leaves out comes from <c>PGUSER</c>, <c>PGPASSWORD</c>, <c>PGPASSFILE</c> or <c>~/.pgpass</c>, <c>PGSSLROOTCERT</c>,
/// <c>PGSSLCERT</c> and <c>PGSSLKEY</c>. Without a host: the local socket directory. Nothing here shows a password.
/// </summary>
public static class PostgresUrl
{
    private const int DefaultPort = 5432;

    private static readonly Dictionary<string, Action<NpgsqlConnectionStringBuilder, string>> Settings = new(StringComparer.Ordinal)
    {
        ["sslmode"] = static (to, value) => to.SslMode = value switch
        {
            "disable" => SslMode.Disable,
            "allow" => SslMode.Allow,
            "prefer" => SslMode.Prefer,
            "require" => SslMode.Require,
            "verify-ca" => SslMode.VerifyCA,
            "verify-full" => SslMode.VerifyFull,
            _ => throw new FormatException($"sslmode is '{value}'; there are disable, allow, prefer, require, verify-ca and verify-full."),
        },
        ["sslrootcert"] = static (to, value) => to.RootCertificate = value,
        ["sslcert"] = static (to, value) => to.SslCertificate = value,
        ["sslkey"] = static (to, value) => to.SslKey = value,
        ["sslpassword"] = static (to, value) => to.SslPassword = value,
        ["channel_binding"] = static (to, value) => to.ChannelBinding = value switch
        {
            "disable" => ChannelBinding.Disable,
            "prefer" => ChannelBinding.Prefer,
            "require" => ChannelBinding.Require,
            _ => throw new FormatException($"channel_binding is '{value}'; there are disable, prefer and require."),
        },
        ["user"] = static (to, value) => to.Username = value,
        ["password"] = static (to, value) => to.Password = value,
        ["passfile"] = static (to, value) => to.Passfile = value,
        ["dbname"] = static (to, value) => to.Database = value,
        ["host"] = static (to, value) => to.Host = value,
        ["port"] = static (to, value) => to.Port = Port(value),
        ["options"] = static (to, value) => to.Options = value,
        ["application_name"] = static (to, value) => to.ApplicationName = value,
        ["connect_timeout"] = static (to, value) => to.Timeout = int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds) && seconds is > 0 and <= 300
            ? seconds
            : throw new FormatException("connect_timeout is a whole number of seconds, 1 to 300."),

        // The one that writes has to be a primary; that is not up to the address.
        ["target_session_attrs"] = static (_, value) =>
        {
            if (value is not ("any" or "read-write" or "primary" or "prefer-standby"))
                throw new FormatException($"target_session_attrs is '{value}'; a broker needs read-write, which is the default.");
        },
    };

    /// <summary>Whether the text has the scheme of such an address, good or not.</summary>
    public static bool IsScheme(string url) =>
        url.StartsWith("postgresql://", StringComparison.OrdinalIgnoreCase) || url.StartsWith("postgres://", StringComparison.OrdinalIgnoreCase);

    /// <summary>Null when the text is such an address; else what is wrong with it, without its password.</summary>
    public static string? FindFault(string url)
    {
        try
        {
            Parse(url);
            return null;
        }
        catch (FormatException wrong)
        {
            return wrong.Message;
        }
    }

    /// <summary>What may be shown: user, hosts and database, without password and settings.</summary>
    /// <exception cref="FormatException">It is no such address.</exception>
    public static string Describe(string url) => Describe(Parse(url));

    internal static string Describe(NpgsqlConnectionStringBuilder address) =>
        $"{address.Database ?? address.Username ?? "the default database"} at {address.Host}{(address.Host!.Contains(':', StringComparison.Ordinal) || address.Port == DefaultPort ? "" : $":{address.Port}")}";

    /// <exception cref="FormatException">It is no such address; the message says why, without its password.</exception>
    internal static NpgsqlConnectionStringBuilder Parse(string url)
    {
        if (!IsScheme(url))
            throw new FormatException("An address begins with postgresql:// or postgres://.");
        var rest = url[(url.IndexOf("://", StringComparison.Ordinal) + 3)..];
        var address = new NpgsqlConnectionStringBuilder { ApplicationName = "dispatch" };

        var query = rest.IndexOf('?', StringComparison.Ordinal);
        var settings = query < 0 ? "" : rest[(query + 1)..];
        rest = query < 0 ? rest : rest[..query];

        // The last @: a password that was not escaped may hold one itself.
        var at = rest.LastIndexOf('@');
        if (at >= 0)
        {
            var colon = rest.IndexOf(':', StringComparison.Ordinal);
            var hasPassword = colon >= 0 && colon < at;
            address.Username = Decode(rest[..(hasPassword ? colon : at)], "The user");
            if (hasPassword)
                address.Password = Decode(rest[(colon + 1)..at], "The password");
            rest = rest[(at + 1)..];
        }

        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        if (slash >= 0 && rest[(slash + 1)..] is { Length: > 0 } database)
            address.Database = Decode(database, "The database");
        var hosts = slash < 0 ? rest : rest[..slash];
        if (hosts.Length > 0)
            SetHosts(address, hosts.Split(','));
        foreach (var setting in settings.Split('&', StringSplitOptions.RemoveEmptyEntries))
            Set(address, setting);
        if (string.IsNullOrEmpty(address.Host))
            address.Host = Directory.Exists("/var/run/postgresql") ? "/var/run/postgresql" : "localhost";
        return address;
    }

    private static void SetHosts(NpgsqlConnectionStringBuilder address, string[] hosts)
    {
        if (hosts is [var one])
        {
            var (host, port) = HostAndPort(one);
            (address.Host, address.Port) = (host, port);
            return;
        }

        address.Host = string.Join(',', hosts.Select(HostAndPort).Select(pair => $"{pair.Host}:{pair.Port.ToString(CultureInfo.InvariantCulture)}"));
    }

    private static (string Host, int Port) HostAndPort(string text)
    {
        var end = text.StartsWith('[') ? text.IndexOf(']', StringComparison.Ordinal) : 0;
        if (end < 0)
            throw new FormatException("A host that begins with [ has no ].");
        var colon = text.IndexOf(':', end);
        var host = Decode(colon < 0 ? text : text[..colon], "A host");
        return (host.Length == 0 ? "localhost" : host, colon < 0 ? DefaultPort : Port(text[(colon + 1)..]));
    }

    private static void Set(NpgsqlConnectionStringBuilder address, string setting)
    {
        var equals = setting.IndexOf('=', StringComparison.Ordinal);
        var name = Decode(equals < 0 ? setting : setting[..equals], "A setting");
        if (!Settings.TryGetValue(name, out var set))
            throw new FormatException($"'{name}' is no setting of an address; there are {string.Join(", ", Settings.Keys.Order(StringComparer.Ordinal))}.");
        set(address, Decode(equals < 0 ? "" : setting[(equals + 1)..], name));
    }

    private static int Port(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and <= 65_535
        ? port
        : throw new FormatException("A port is a number from 1 to 65535.");

    private static string Decode(string text, string what)
    {
        var decoded = Uri.UnescapeDataString(text);
        return decoded.Contains('\0', StringComparison.Ordinal) ? throw new FormatException($"{what} holds a zero character.") : decoded;
    }
}
