using System.Reflection;
using Dispatch.Host.Webhooks;
using Dispatch.Sequencing;
using Dispatch.Webhooks;
using Microsoft.Extensions.Logging.Abstractions;

namespace Dispatch.Host.Tests.Webhooks;

public sealed class DeliveryBookTests
{
    private readonly IStore store = DispatchProxy.Create<IStore, PlayedStore>();
    private readonly DeliveryBook book;

    public DeliveryBookTests() => book = new DeliveryBook(store, new FakeTime(), NullLogger<DeliveryBook>.Instance);

    private PlayedStore Played => (PlayedStore)(object)store;

    [Fact]
    public async Task What_the_store_refuses_stays_and_is_written_later_with_what_came_since()
    {
        Played.Refuses = true;
        book.Add(Delivery("whk_1", 4));
        book.Advance("whk_1", 4, wasTold: true);
        await Assert.ThrowsAsync<StoreException>(() => book.FlushAsync(CancellationToken.None));
        Assert.Equal([4], (await book.ListAsync("whk_1", 10, CancellationToken.None)).Select(delivery => delivery.Sequence));

        Played.Refuses = false;
        book.Add(Delivery("whk_1", 5));
        book.Advance("whk_1", 5, wasTold: true);
        await book.FlushAsync(CancellationToken.None);
        await book.FlushAsync(CancellationToken.None);

        Assert.Equal([4L, 5L], Played.Deliveries.Select(delivery => delivery.Sequence));
        Assert.Equal([("webhook/whk_1", 5L)], Played.Cursors);
    }

    [Fact]
    public async Task A_position_never_goes_back()
    {
        book.Advance("whk_1", 9, wasTold: true);
        book.Advance("whk_1", 7, wasTold: false);

        await book.FlushAsync(CancellationToken.None);

        Assert.Equal(9, book.PositionOf("whk_1"));
        Assert.Equal([("webhook/whk_1", 9L)], Played.Cursors);
    }

    [Fact]
    public async Task Of_a_deleted_webhook_nothing_is_written()
    {
        book.Add(Delivery("whk_1", 4));
        book.Advance("whk_1", 4, wasTold: true);
        book.Advance("whk_2", 4, wasTold: true);
        book.Forget("whk_1");

        await book.FlushAsync(CancellationToken.None);

        Assert.Empty(Played.Deliveries);
        Assert.Equal([("webhook/whk_2", 4L)], Played.Cursors);
    }

    [Fact]
    public async Task Other_followers_cursors_are_left_alone()
    {
        Played.Stored = new Dictionary<string, long> { ["webhook/whk_1"] = 3, ["nats"] = 8 };

        await book.LoadAsync(CancellationToken.None);

        Assert.Equal(3, book.PositionOf("whk_1"));
        Assert.Null(book.PositionOf("nats"));
    }

    private static WebhookDelivery Delivery(string webhook, long sequence) => new(webhook, sequence, 1, 1, 1, 200, null, null);

    /// <summary>The part of a store that it uses.</summary>
    public class PlayedStore : DispatchProxy
    {
        public bool Refuses { get; set; }

        public IReadOnlyDictionary<string, long> Stored { get; set; } = new Dictionary<string, long>();

        public List<(string Name, long Sequence)> Cursors { get; } = [];

        public List<WebhookDelivery> Deliveries { get; } = [];

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod!.Name switch
        {
            nameof(IStore.SaveCursorsAsync) => Save((IReadOnlyList<(string, long)>)args![0]!, (IReadOnlyList<WebhookDelivery>)args[1]!),
            nameof(IStore.LoadCursorsAsync) => Task.FromResult(Stored),
            nameof(IStore.ListDeliveriesAsync) => Task.FromResult<IReadOnlyList<WebhookDelivery>>([.. Deliveries]),
            _ => throw new NotSupportedException(targetMethod.Name),
        };

        private Task Save(IReadOnlyList<(string Name, long Sequence)> cursors, IReadOnlyList<WebhookDelivery> deliveries)
        {
            if (Refuses)
                return Task.FromException(new StoreException(StoreFault.Full, "No room."));
            Cursors.AddRange(cursors);
            Deliveries.AddRange(deliveries);
            return Task.CompletedTask;
        }
    }
}
