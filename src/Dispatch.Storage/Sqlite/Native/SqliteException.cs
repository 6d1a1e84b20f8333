namespace Dispatch.Storage.Sqlite.Native;

/// <summary>SQLite refused a call. Carries its primary and extended result code and the operating system's error number.</summary>
internal sealed class SqliteException : Exception
{
    private const int Permission = 3;
    private const int Busy = 5;
    private const int Locked = 6;
    private const int ReadOnly = 8;
    private const int Interrupt = 9;
    private const int IoError = 10;
    private const int Corrupt = 11;
    private const int Full = 13;
    private const int CannotOpen = 14;
    private const int Constraint = 19;
    private const int NotADatabase = 26;

    private const int IoErrorFsync = IoError | (4 << 8);
    private const int IoErrorDirectoryFsync = IoError | (5 << 8);
    private const int CannotOpenSymlink = CannotOpen | (6 << 8);

    /// <param name="doing">The statement, or what else was called; null when it says nothing.</param>
    internal SqliteException(int extendedCode, int systemError, string reason, string? doing = null)
        : base(doing is null ? reason : $"{reason} [{doing}]")
    {
        Reason = reason;
        ExtendedCode = extendedCode;
        SystemError = systemError;
    }

    /// <summary>What SQLite and the system say, without the statement: that is nothing to an operator.</summary>
    public string Reason { get; }

    /// <summary>The kind of failure: the low byte of <see cref="ExtendedCode"/>.</summary>
    public int Code => ExtendedCode & 0xff;

    /// <summary>The exact failure, e.g. 1034 for a failed fsync.</summary>
    public int ExtendedCode { get; }

    /// <summary>The operating system's error number (errno) behind an I/O or open failure; 0 when there was none.</summary>
    public int SystemError { get; }

    /// <summary>No room: the disk, the quota or the largest allowed file size is reached.</summary>
    public bool IsFull => Code == Full || (HasSystemError(Code) && !IsFsync && PosixError.MeansNoRoom(SystemError));

    /// <summary>The file is damaged.</summary>
    public bool IsCorrupt => Code == Corrupt;

    /// <summary>The file is something other than a SQLite database.</summary>
    public bool IsNotADatabase => Code == NotADatabase;

    /// <summary>The file, its directory or its file system doesn't let us write.</summary>
    public bool IsReadOnly => Code is ReadOnly or Permission || (HasSystemError(Code) && PosixError.MeansNotAllowed(SystemError));

    /// <summary>The file (or a directory on the way to it) can't be opened.</summary>
    public bool IsCannotOpen => Code == CannotOpen && ExtendedCode != CannotOpenSymlink;

    /// <summary>Another connection holds the lock that was needed.</summary>
    public bool IsBusy => Code is Busy or Locked;

    /// <summary>A row broke a UNIQUE, NOT NULL or CHECK rule.</summary>
    public bool IsConstraint => Code == Constraint;

    /// <summary>The statement was ended by <see cref="SqliteConnection.Interrupt"/>.</summary>
    public bool IsInterrupted => Code == Interrupt;

    /// <summary>Reading or writing the file failed.</summary>
    public bool IsIoError => Code == IoError;

    /// <summary>
    /// The operating system could not say that written data reached the disk. What the file holds is unknown from here on:
    /// Linux drops the dirty pages, so that a second fsync would succeed without having written anything.
    /// </summary>
    public bool IsFsync => ExtendedCode is IoErrorFsync or IoErrorDirectoryFsync;

    /// <summary>True when the operating system's error number belongs to this failure; after any other it is an old one.</summary>
    internal static bool HasSystemError(int code) => (code & 0xff) is IoError or CannotOpen;
}
