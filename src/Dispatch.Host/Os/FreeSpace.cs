namespace Dispatch.Host.Os;

/// <summary>The room that is left on a file system.</summary>
internal static class FreeSpace
{
    /// <summary>Bytes that this process may still write below a directory; null when the system does not tell, as on some network shares.</summary>
    public static long? Of(string directory)
    {
        try
        {
            return new DriveInfo(directory).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            // A gauge that is missing says so itself.
            return null;
        }
    }
}
