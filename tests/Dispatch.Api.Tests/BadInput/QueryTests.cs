using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.BadInput;

public sealed class QueryTests(SharedBroker shared) : IClassFixture<SharedBroker>
{
    private const string Task = "01a1f82f-7cc4-736e-a149-d5fc83b368f9";

    private readonly TestBroker broker = shared.Broker;

    [Theory]
    [InlineData("POST", "/api/v1/tasks")]
    [InlineData("GET", "/api/v1/tasks")]
    [InlineData("GET", "/api/v1/tasks/" + Task)]
    [InlineData("PATCH", "/api/v1/tasks/" + Task)]
    [InlineData("POST", "/api/v1/tasks/" + Task + "/start")]
    [InlineData("POST", "/api/v1/tasks/" + Task + "/progress")]
    [InlineData("POST", "/api/v1/tasks/" + Task + "/complete")]
    [InlineData("POST", "/api/v1/tasks/" + Task + "/fail")]
    [InlineData("POST", "/api/v1/tasks/" + Task + "/release")]
    [InlineData("POST", "/api/v1/tasks/" + Task + "/retry")]
    [InlineData("GET", "/api/v1/tasks/" + Task + "/explain")]
    [InlineData("GET", "/api/v1/tasks/" + Task + "/events")]
    [InlineData("GET", "/api/v1/agents")]
    [InlineData("PUT", "/api/v1/agents/admin")]
    [InlineData("GET", "/api/v1/agents/admin")]
    [InlineData("DELETE", "/api/v1/agents/admin")]
    [InlineData("POST", "/api/v1/agents/admin/heartbeat")]
    [InlineData("POST", "/api/v1/agents/admin/work")]
    [InlineData("GET", "/api/v1/agents/admin/tasks")]
    [InlineData("POST", "/api/v1/agents/admin/drain")]
    [InlineData("GET", "/api/v1/dead-letters")]
    [InlineData("POST", "/api/v1/dead-letters/redrive")]
    [InlineData("GET", "/api/v1/stats")]
    [InlineData("GET", "/api/v1/tokens")]
    [InlineData("POST", "/api/v1/tokens")]
    [InlineData("DELETE", "/api/v1/tokens/tok_1")]
    public async Task A_parameter_that_a_route_does_not_know_is_refused(string method, string path)
    {
        Assert.Equal(["dryrun"], (await broker.Admin.SendAsync(new HttpMethod(method), path + "?dryrun=true", null)).ExpectFaults());
    }

    [Theory]
    [InlineData("/api/v1/tasks?status=")]
    [InlineData("/api/v1/tasks?requester=")]
    [InlineData("/api/v1/tasks?")]
    [InlineData("/api/v1/tasks/")]
    [InlineData("/api/v1/agents/")]
    [InlineData("/api/v1/nothing/")]
    public async Task What_is_repeated_in_an_answer_is_never_half_a_character(string path)
    {
        // Cut at 40, 64 or 200 characters, one of these lengths would leave half a pair.
        foreach (var length in new[] { 39, 40, 63, 64, 199, 200, 300 })
        {
            var reply = await broker.Admin.GetAsync(path + Uri.EscapeDataString(new string('x', length) + string.Concat(Enumerable.Repeat("😀", 50))));
            Assert.InRange(reply.Status, 200, 404);
            Assert.DoesNotContain('\uFFFD', reply.Text);
        }
    }

    [Theory]
    [InlineData("/api/v1/tasks?status=%ff%fe")]
    [InlineData("/api/v1/tasks?%ff=1")]
    [InlineData("/api/v1/tasks?status=%ed%a0%80")]
    [InlineData("/api/v1/tasks/%ed%a0%80")]
    [InlineData("/api/v1/tasks?cursor=99999999999999999999")]
    [InlineData("/api/v1/tasks?limit=1e2")]
    [InlineData("/api/v1/tasks?limit=%2B5")]
    [InlineData("/api/v1/tasks?=x")]
    [InlineData("/api/v1/tasks?&&&a")]
    [InlineData("/api/v1/tokens/%2e%2e%2f%2e%2e")]
    public async Task Odd_addresses_are_refused_and_never_fail(string path)
    {
        Assert.InRange((await broker.Admin.GetAsync(path)).Status, 400, 405);
    }
}
