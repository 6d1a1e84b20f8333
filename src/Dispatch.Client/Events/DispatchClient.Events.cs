using System.Runtime.CompilerServices;
using System.Text.Json;

namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    // Three signs of life that did not come.
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(45);

    /// <summary>One page of the log, oldest first. For an admin.</summary>
    /// <param name="after">Events behind this sequence number; null: from the oldest that is kept.</param>
    /// <param name="limit">1..1,000; null: 100.</param>
    /// <exception cref="DispatchException"><c>events_gone</c>: older than what is kept.</exception>
    public Task<EventPage> ListEventsAsync(EventQuery? query = null, long? after = null, int? limit = null, CancellationToken cancel = default) =>
        ReadAsync(Get(Filtered("api/v1/events", query).With("after", after).With("limit", limit)), WireJson.Default.EventPage, cancel);

    /// <summary>
    /// Follows the log from a place on, without end. A lost connection is made again where it was, for <see cref="DispatchClientOptions.RetryFor"/>;
    /// nothing is left out, and nothing comes twice. For an admin.
    /// </summary>
    /// <param name="after">Begin behind this sequence number; null: with what comes next.</param>
    public async IAsyncEnumerable<LoggedEvent> FollowEventsAsync(
        EventQuery? query = null, long? after = null, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        after ??= (await ListEventsAsync(query, after: long.MaxValue / 2, limit: 1, cancel)).Head;
        var lost = Options.Clock.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            var stream = connection.StreamAsync(Get(Filtered("api/v1/events/stream", query).With("after", after)), Silence, cancel).GetAsyncEnumerator(cancel);
            await using (stream)
            {
                while (true)
                {
                    string line;
                    try
                    {
                        if (!await stream.MoveNextAsync())
                            break;
                        line = stream.Current;
                    }
                    catch (DispatchUnreachableException) when (Options.Clock.GetElapsedTime(lost) < Options.RetryFor)
                    {
                        break;
                    }
                    catch (DispatchException refused) when (refused.Status is 429 or >= 502 && Options.Clock.GetElapsedTime(lost) < Options.RetryFor)
                    {
                        break;
                    }

                    (lost, attempt) = (Options.Clock.GetTimestamp(), 0);
                    if (line.StartsWith("data: ", StringComparison.Ordinal))
                    {
                        var happened = JsonSerializer.Deserialize(line.AsSpan(6), WireJson.Default.LoggedEvent)
                            ?? throw new JsonException("null where an event was expected.");
                        after = happened.Sequence;
                        yield return happened;
                    }
                }
            }

            if (Options.Clock.GetElapsedTime(lost) >= Options.RetryFor && attempt > 0)
                throw new DispatchUnreachableException(Server, "the stream ended and could not be opened again.", neverSent: false, null);
            await Task.Delay(connection.Pause(attempt + 1), Options.Clock, cancel);
        }
    }

    private static PathAndQuery Filtered(string path, EventQuery? query)
    {
        var text = new PathAndQuery(path);
        foreach (var (name, values) in (ReadOnlySpan<(string, IReadOnlyList<string>?)>)[("type", query?.Types), ("source", query?.Sources), ("subject", query?.Subjects), ("session", query?.Sessions)])
        {
            foreach (var value in values ?? [])
                text.With(name, value);
        }

        return text;
    }
}
