namespace Dispatch.Storage.Sqlite.Native;

/// <summary>The error numbers of the operating system that change what we tell the operator. All false on Windows.</summary>
internal static class PosixError
{
    private const int NotPermitted = 1;
    private const int AccessDenied = 13;
    private const int NoSpace = 28;
    private const int ReadOnlyFileSystem = 30;

    private static readonly int QuotaExceeded = OperatingSystem.IsMacOS() ? 69 : 122;

    internal static bool MeansNoRoom(int error) =>
        !OperatingSystem.IsWindows() && (error == NoSpace || error == QuotaExceeded);

    internal static bool MeansNotAllowed(int error) =>
        !OperatingSystem.IsWindows() && error is (NotPermitted or AccessDenied or ReadOnlyFileSystem);
}
