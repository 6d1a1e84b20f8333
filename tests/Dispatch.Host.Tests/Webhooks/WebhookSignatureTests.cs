using System.Text;
using Dispatch.Host.Webhooks;

namespace Dispatch.Host.Tests.Webhooks;

public sealed class WebhookSignatureTests
{
    // Of the specification's own libraries.
    private const string Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    private const string Id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    private const string Signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    private static readonly byte[] Body = Encoding.UTF8.GetBytes("""{"test": 2432232314}""");

    [Fact]
    public void It_is_that_of_the_specification() => Assert.Equal(Signature, WebhookSignature.Of([Secret], Id, 1614265330, Body));

    [Fact]
    public void Each_secret_signs()
    {
        var other = WebhookSignature.MakeSecret();

        var both = WebhookSignature.Of([other, Secret], Id, 1614265330, Body).Split(' ');

        Assert.Equal([WebhookSignature.Of([other], Id, 1614265330, Body), Signature], both);
    }

    [Fact]
    public void A_secret_has_256_bits_and_no_two_are_the_same()
    {
        var secret = WebhookSignature.MakeSecret();

        Assert.StartsWith("whsec_", secret, StringComparison.Ordinal);
        Assert.Equal(32, Convert.FromBase64String(secret["whsec_".Length..]).Length);
        Assert.NotEqual(secret, WebhookSignature.MakeSecret());
    }
}
