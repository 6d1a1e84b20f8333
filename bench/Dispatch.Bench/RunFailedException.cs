namespace Dispatch.Bench;

/// <summary>A row could not be measured: the server refused, lost or never answered what the load asked for.</summary>
internal sealed class RunFailedException : Exception
{
    public RunFailedException(string message)
        : base(message)
    {
    }

    public RunFailedException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
