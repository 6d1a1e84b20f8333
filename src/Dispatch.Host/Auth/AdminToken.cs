using Dispatch.Host.Configuration;

namespace Dispatch.Host.Auth;

/// <summary>The administrator's token could not be read or made. The message says what to do.</summary>
public sealed class AdminTokenException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The administrator's token: the configured one, else the data directory's, which is made when there is none. Never empty.</summary>
public sealed class AdminToken
{
    private const string FileName = "admin-token";
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode Others =
        UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite;

    private readonly TokenHash hash;

    /// <param name="secret">The token; not empty.</param>
    /// <param name="file">The file it is kept in, or null when it was configured.</param>
    /// <param name="isNew">Whether it was made just now.</param>
    public AdminToken(string secret, string? file = null, bool isNew = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(secret);
        hash = TokenHash.Of(secret);
        File = file;
        IsNew = isNew;
    }

    /// <summary>The file it is kept in, or null when it was configured.</summary>
    public string? File { get; }

    /// <summary>Whether it was made just now.</summary>
    public bool IsNew { get; }

    /// <summary>Where the token is kept in a data directory when none is configured.</summary>
    public static string PathIn(string dataDirectory) => Path.Combine(dataDirectory, FileName);

    /// <summary>
    /// Finds the token, or makes it; the data directory too, for its owner only. Call it while holding the lock of the store in that
    /// directory: of two brokers that start at once, one must be the first.
    /// </summary>
    /// <exception cref="AdminTokenException">The file can't be read or written, is empty, or others can read it.</exception>
    public static AdminToken Open(DispatchConfig config)
    {
        if (config.Server.AdminToken is { } configured)
            return new AdminToken(configured);

        string path = PathIn(config.DataDirectory);
        try
        {
            MakeDirectory(config.DataDirectory);
            return System.IO.File.Exists(path) ? Read(path) : Make(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new AdminTokenException($"The administrator's token can't be kept in {path}: {e.Message} Give another data directory, or set server.admin_token.", e);
        }
    }

    /// <summary>Whether a bearer token's hash is this token's. Takes the same time whatever it is.</summary>
    public bool IsSame(in TokenHash other) => hash.IsSame(other);

    private static void MakeDirectory(string path)
    {
        // Windows gives a directory in the user's profile to that user alone.
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    private static AdminToken Read(string path)
    {
        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read);
        // The opened file, not the name: what is checked is what is read.
        UnixFileMode mode = OperatingSystem.IsWindows() ? OwnerOnly : System.IO.File.GetUnixFileMode(stream.SafeFileHandle);
        if ((mode & Others) != UnixFileMode.None)
        {
            throw new AdminTokenException(
                $"Other users can read or change the administrator's token in {path} (mode {Convert.ToString((int)mode, 8)}). They may know it: "
                + "delete the file and a new one is made, or, if nobody had access, run: chmod 600 " + path);
        }

        using var reader = new StreamReader(stream);
        string secret = reader.ReadToEnd().Trim();
        if (secret.Length is 0 or > TokenText.MaxLength || secret.Any(c => c is <= ' ' or > '~'))
            throw new AdminTokenException($"{path} does not hold a token. Delete it, and a new one is made.");
        return new AdminToken(secret, path);
    }

    private static AdminToken Make(string path)
    {
        string secret = TokenText.MakeForAdmin();
        string unfinished = path + ".new";

        // A left-over of a crash would keep its own mode.
        System.IO.File.Delete(unfinished);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = OwnerOnly;
        using (var stream = new FileStream(unfinished, options))
        {
            stream.Write(System.Text.Encoding.ASCII.GetBytes(secret + "\n"));
            stream.Flush(flushToDisk: true);
        }

        // Whole or not at all: a crash in between leaves no empty token.
        System.IO.File.Move(unfinished, path, overwrite: false);
        return new AdminToken(secret, path, isNew: true);
    }
}
