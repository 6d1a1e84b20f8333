using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Dispatch.Client;

/// <summary>
/// The broker's HTTP API as methods. Safe to share between threads; make one and keep it.
/// Every method throws <see cref="DispatchException"/> when the broker refuses, <see cref="DispatchUnreachableException"/> when it does not
/// answer, and <see cref="OperationCanceledException"/> when the token is cancelled. Calls that are safe to repeat are repeated for
/// <see cref="DispatchClientOptions.RetryFor"/> when the broker is away or busy.
/// </summary>
public sealed partial class DispatchClient : IDisposable
{
    private readonly BrokerConnection connection;

    /// <summary>A client with a connection pool of its own.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public DispatchClient(DispatchClientOptions options)
    {
        Options = options;
        connection = new BrokerConnection(options, http: null);
    }

    /// <summary>A client over a caller's <see cref="HttpClient"/>, which stays the caller's; its base address wins over <see cref="DispatchClientOptions.Server"/>.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public DispatchClient(HttpClient http, DispatchClientOptions options)
    {
        Options = options;
        connection = new BrokerConnection(options, http);
    }

    private DispatchClient(BrokerConnection connection, DispatchClientOptions options)
    {
        Options = options;
        this.connection = connection;
    }

    /// <summary>What the client was made with.</summary>
    public DispatchClientOptions Options { get; }

    /// <summary>The broker's address.</summary>
    public Uri Server => connection.Server;

    /// <summary>Closes the connection pool, if it is the client's own.</summary>
    public void Dispose() => connection.Dispose();

    /// <summary>The same client without repetition, for callers that repeat in their own way. Shares this one's connections, and must not outlive it.</summary>
    /// <param name="patience">Upper bound of <see cref="DispatchClientOptions.Timeout"/>.</param>
    internal DispatchClient Once(TimeSpan patience)
    {
        var once = Options with { RetryFor = TimeSpan.Zero, Timeout = patience < Options.Timeout ? patience : Options.Timeout };
        return new DispatchClient(connection.Sharing(once), once);
    }

    private Call Get(PathAndQuery path) => new(HttpMethod.Get, connection.At(path), Repeating.Safe);

    private Call Post(PathAndQuery path, Repeating repeating) => new(HttpMethod.Post, connection.At(path), repeating);

    private async Task<T> ReadAsync<T>(Call call, JsonTypeInfo<T> shape, CancellationToken cancel) => (await connection.SendAsync(call, shape, cancel)).Value;

    private static byte[] Bytes<T>(T value, JsonTypeInfo<T> shape) => JsonSerializer.SerializeToUtf8Bytes(value, shape);
}
