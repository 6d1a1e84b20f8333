namespace Dispatch.Host.Configuration;

/// <summary>The configuration in force. Read at any time from any thread; changed by the <see cref="ConfigWatcher"/> alone.</summary>
internal sealed class LiveConfig(DispatchConfig started)
{
    private volatile DispatchConfig current = started;

    /// <summary>As it is now. Who needs two values of one moment reads it once.</summary>
    public DispatchConfig Current => current;

    /// <summary>Told of the new one, for what does not read it at each use. Be quick, never throw.</summary>
    public event Action<DispatchConfig>? Changed;

    public void Change(DispatchConfig changed)
    {
        current = changed;
        Changed?.Invoke(changed);
    }
}
