namespace Dispatch.Host.Configuration;

/// <summary>Takes the secret parts out of a text that is about to be shown.</summary>
internal static class SecretMask
{
    /// <summary>
    /// A url without its password and query, which may hold one too. Works on texts that are not quite urls, since a
    /// faulty one is what an error message shows.
    /// </summary>
    public static string Url(string text)
    {
        int scheme = text.IndexOf("://", StringComparison.Ordinal);
        if (scheme < 0)
            return text;

        int start = scheme + 3;
        // The last @: a password that was not escaped may hold one itself.
        int at = text.LastIndexOf('@');
        if (at >= start)
        {
            int colon = text.IndexOf(':', start);
            string user = colon >= start && colon < at ? text[start..colon] + ":***" : "***";
            text = string.Concat(text.AsSpan(0, start), user, text.AsSpan(at));
        }

        int query = text.IndexOf('?', start);
        return query < 0 ? text : text[..query] + "?***";
    }
}
