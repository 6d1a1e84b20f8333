namespace Dispatch.Host.Configuration;

/// <summary>The form <c>sqlite://PATH</c>: absolute (<c>sqlite:///var/lib/d.db</c>), relative, or below home (<c>sqlite://~/d.db</c>).</summary>
internal static class SqliteUrl
{
    private const string Scheme = "sqlite://";

    /// <summary>Whether the text has the form and names a file.</summary>
    public static bool IsValid(string url) =>
        url.StartsWith(Scheme, StringComparison.Ordinal)
        && url[Scheme.Length..] is { Length: > 0 } path
        && path is not ("~" or "~/" or "." or "..")
        && !path.EndsWith('/')
        && !path.StartsWith(':')
        && !path.Contains('\0')
        && !path.Contains('?');

    /// <summary>The file as an absolute path. The text must be valid.</summary>
    public static string ToFilePath(string url, string home, string workingDirectory)
    {
        string path = url[Scheme.Length..];
        if (path.StartsWith("~/", StringComparison.Ordinal))
            path = Path.Combine(home, path[2..]);
        return Path.GetFullPath(path, workingDirectory);
    }

    /// <summary>The url of a file.</summary>
    public static string FromFilePath(string path) => Scheme + path;
}
