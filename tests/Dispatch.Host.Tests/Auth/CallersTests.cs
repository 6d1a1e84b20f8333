using System.Net;
using System.Text.Json;
using Dispatch.Agents;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Tests.Http;

namespace Dispatch.Host.Tests.Auth;

public sealed class CallersTests
{
    private static readonly DispatchConfig TokenMode = new() { Auth = new AuthSettings { Mode = AuthMode.Token } };

    [Theory]
    [InlineData("trusted_header")]
    [InlineData("token")]
    public async Task The_agent_header_is_asked_for_on_every_api_route(string mode)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(Mode(mode));
        foreach (string path in (string[])["/api/v1/whoami", "/API/V1/whoami", "/api/v1/nothing", "/api/v1"])
        {
            foreach (string? bearer in (string?[])[null, HostUnderTest.AdminSecret])
            {
                HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, path, bearer: bearer);
                await ProblemTests.ReadAsync(response, HttpStatusCode.Unauthorized, "unauthorized");
                Assert.Equal("Bearer", response.Headers.WwwAuthenticate.Single().Scheme);
            }
        }

        Assert.Equal(HttpStatusCode.OK, (await host.SendAsync(HttpMethod.Get, "/metrics")).StatusCode);
    }

    [Fact]
    public async Task With_trusted_header_the_header_is_believed()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        Assert.Equal("coder-1 False", await WhoAmIAsync(host, "coder-1"));
    }

    [Theory]
    [InlineData("trusted_header")]
    [InlineData("token")]
    public async Task The_admin_token_makes_an_admin_of_any_agent(string mode)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(Mode(mode));
        Assert.Equal("boss True", await WhoAmIAsync(host, "boss", HostUnderTest.AdminSecret));
    }

    [Fact]
    public async Task In_token_mode_a_token_speaks_for_its_agent_only()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(TokenMode);
        string secret = AddToken(host, "coder-1");
        AddToken(host, "coder-2");

        Assert.Equal("coder-1 False", await WhoAmIAsync(host, "coder-1", secret));

        // Somebody else's token, an unknown one and none of an unknown agent look the same.
        string foreign = await RefusalAsync(host, "coder-2", secret);
        string unknown = await RefusalAsync(host, "coder-2", "dsp_unknown");
        string unknownAgent = await RefusalAsync(host, "nobody", secret);
        Assert.Equal(foreign, unknown);
        Assert.Equal(foreign, unknownAgent);
        await RefusalAsync(host, "coder-1", bearer: null);
    }

    [Fact]
    public async Task A_wrong_bearer_is_refused_with_trusted_header_too_and_a_right_one_is_fine()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        string secret = AddToken(host, "coder-1");
        await RefusalAsync(host, "coder-1", "wrong");
        await RefusalAsync(host, "coder-2", secret);
        Assert.Equal("coder-1 False", await WhoAmIAsync(host, "coder-1", secret));
    }

    [Theory]
    [InlineData("Basic YWRtaW46YWRtaW4=")]
    [InlineData("Bearer")]
    [InlineData("Bearer ")]
    [InlineData("Bearer admin-secret-for-test")]
    [InlineData("Bearer admin-secret-for-testsX")]
    [InlineData("admin-secret-for-tests")]
    [InlineData("Bearer LONG")]
    public async Task Another_authorization_is_refused(string authorization)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        authorization = authorization.Replace("LONG", HostUnderTest.AdminSecret + new string('x', 600));
        string answer = await host.SendRawAsync(
            $"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: a\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 401", answer);
    }

    [Fact]
    public async Task Two_authorizations_or_two_agents_are_refused()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        string twice = $"Authorization: Bearer {HostUnderTest.AdminSecret}\r\n";
        Assert.StartsWith("HTTP/1.1 401", await host.SendRawAsync($"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: a\r\n{twice}{twice}Connection: close\r\n\r\n"));
        Assert.StartsWith("HTTP/1.1 400", await host.SendRawAsync("GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: a\r\nX-Agent-ID: b\r\nConnection: close\r\n\r\n"));
    }

    [Theory]
    [InlineData("agent\u0001")]
    [InlineData("агент\u202e")]
    [InlineData("LONG")]
    public async Task A_name_that_can_not_be_shown_is_refused(string name)
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        name = name == "LONG" ? new string('a', 257) : name;
        string answer = await host.SendRawAsync($"GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: {name}\r\nConnection: close\r\n\r\n");
        Assert.StartsWith("HTTP/1.1 400", answer);
    }

    [Fact]
    public async Task A_name_may_be_of_any_script()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync();
        string answer = await host.SendRawAsync("GET /api/v1/whoami HTTP/1.1\r\nHost: localhost\r\nX-Agent-ID: агент 1\r\nConnection: close\r\n\r\n");
        Assert.Contains("агент 1 False", answer);
    }

    [Fact]
    public async Task A_revoked_or_expired_token_is_refused_at_once()
    {
        var time = new FakeTime();
        await using HostUnderTest host = await HostUnderTest.StartAsync(TokenMode, time: time);
        string expiring = AddToken(host, "a", expiresAt: time.GetUtcNow().AddSeconds(10).ToUnixTimeMilliseconds());
        string revoked = TokenText.MakeForAgent();
        AgentToken token = Token("b", revoked);
        host.Tokens.Add(token);

        Assert.Equal("a False", await WhoAmIAsync(host, "a", expiring));
        Assert.Equal("b False", await WhoAmIAsync(host, "b", revoked));

        time.Advance(TimeSpan.FromSeconds(10));
        host.Tokens.Add(token with { RevokedAt = 1 });
        await RefusalAsync(host, "a", expiring);
        await RefusalAsync(host, "b", revoked);
    }

    [Fact]
    public async Task Replacing_the_tokens_ends_those_that_are_gone()
    {
        await using HostUnderTest host = await HostUnderTest.StartAsync(TokenMode);
        string old = AddToken(host, "a");
        string next = TokenText.MakeForAgent();
        string dead = TokenText.MakeForAgent();
        host.Tokens.Replace([Token("a", next), Token("a", dead) with { RevokedAt = 1 }]);

        await RefusalAsync(host, "a", old);
        await RefusalAsync(host, "a", dead);
        Assert.Equal("a False", await WhoAmIAsync(host, "a", next));
    }

    [Fact]
    public async Task A_caller_that_is_too_fast_is_told_when_to_come_back()
    {
        var time = new FakeTime();
        await using HostUnderTest host = await HostUnderTest.StartAsync(
            new DispatchConfig { Limits = new LimitSettings { RequestsPerSecond = 1, Burst = 3 } }, time: time);

        for (int i = 0; i < 3; i++)
            await WhoAmIAsync(host, "a");
        HttpResponseMessage refused = await host.SendAsync(HttpMethod.Get, "/api/v1/whoami", agent: "a");
        await ProblemTests.ReadAsync(refused, HttpStatusCode.TooManyRequests, "too_many_requests");
        Assert.Equal(TimeSpan.FromSeconds(1), refused.Headers.RetryAfter?.Delta);

        // Others, the administrator, and the caller itself a second later go on.
        await WhoAmIAsync(host, "b");
        Assert.Equal("a True", await WhoAmIAsync(host, "a", HostUnderTest.AdminSecret));
        time.Advance(TimeSpan.FromSeconds(1));
        await WhoAmIAsync(host, "a");
        Assert.Equal(HttpStatusCode.TooManyRequests, (await host.SendAsync(HttpMethod.Get, "/api/v1/whoami", agent: "a")).StatusCode);
        Assert.Contains("dispatch_rate_limited_total 2\n", await host.Client.GetStringAsync("/metrics"));
    }

    private static DispatchConfig Mode(string mode) => mode == "token" ? TokenMode : new DispatchConfig();

    private static string AddToken(HostUnderTest host, string agent, long? expiresAt = null)
    {
        string secret = TokenText.MakeForAgent();
        host.Tokens.Add(Token(agent, secret) with { ExpiresAt = expiresAt });
        return secret;
    }

    private static AgentToken Token(string agent, string secret) =>
        new(Guid.NewGuid().ToString(), TokenHash.Of(secret).ToString(), agent, Name: null, CreatedAt: 0, ExpiresAt: null, RevokedAt: null, LastSequence: 0);

    private static async Task<string> WhoAmIAsync(HostUnderTest host, string agent, string? bearer = null)
    {
        HttpResponseMessage response = await host.SendAsync(HttpMethod.Get, "/api/v1/whoami", agent, bearer);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return await response.Content.ReadAsStringAsync();
    }

    private static async Task<string> RefusalAsync(HostUnderTest host, string agent, string? bearer)
    {
        JsonElement problem = await ProblemTests.ReadAsync(
            await host.SendAsync(HttpMethod.Get, "/api/v1/whoami", agent, bearer), HttpStatusCode.Unauthorized, "unauthorized");
        return problem.GetProperty("detail").GetString()!;
    }
}
