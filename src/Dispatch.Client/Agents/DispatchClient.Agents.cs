namespace Dispatch.Client;

public sealed partial class DispatchClient
{
    private static PathAndQuery Agents => new("api/v1/agents");

    /// <summary>Registers an agent, or replaces what it said of itself. For the agent itself, or an admin.</summary>
    public Task<Agent> RegisterAgentAsync(string agentId, AgentRegistration registration, CancellationToken cancel = default) =>
        ReadAsync(new Call(HttpMethod.Put, connection.At(Agents.Segment(agentId)), Repeating.Safe) { Body = Bytes(registration, WireJson.Default.AgentRegistration) }, WireJson.Default.Agent, cancel);

    /// <summary>Reads an agent.</summary>
    public Task<Agent> GetAgentAsync(string agentId, CancellationToken cancel = default) =>
        ReadAsync(Get(Agents.Segment(agentId)), WireJson.Default.Agent, cancel);

    /// <summary>Deregisters an agent; its work goes back to the queue at no cost in attempts. For the agent itself, or an admin.</summary>
    /// <exception cref="DispatchException"><c>agent_not_found</c>: it was not registered, or has left already.</exception>
    public Task<Departure> LeaveAsync(string agentId, CancellationToken cancel = default) =>
        ReadAsync(new Call(HttpMethod.Delete, connection.At(Agents.Segment(agentId)), Repeating.Safe), WireJson.Default.Departure, cancel);

    /// <summary>A sign of life that renews every lease the agent holds.</summary>
    /// <param name="status">One of <see cref="AgentStatus"/>; null leaves it as it is.</param>
    public Task<HeartbeatAnswer> HeartbeatAsync(string agentId, string? status = null, CancellationToken cancel = default) =>
        ReadAsync(Post(Agents.Segment(agentId).Then("heartbeat"), Repeating.Safe) with { Body = Bytes(new HeartbeatBody(status), WireJson.Default.HeartbeatBody) }, WireJson.Default.HeartbeatAnswer, cancel);

    /// <summary>
    /// Reports in, assigned tasks out, in one round trip. Repeating it is harmless: reports said before change nothing, and
    /// tasks whose delivery was lost are delivered again as long as <see cref="ExchangeRequest.Holding"/> does not name them.
    /// </summary>
    /// <param name="max">At most this many tasks, 0 to 1000; 0: reports only.</param>
    /// <param name="wait">How long to wait for work when there is none, at most 60 s.</param>
    public Task<ExchangeAnswer> ExchangeAsync(string agentId, ExchangeRequest request, int max = 1, TimeSpan wait = default, CancellationToken cancel = default) =>
        ReadAsync(Exchange(agentId, request, max, wait, Repeating.Safe), WireJson.Default.ExchangeAnswer, cancel);

    /// <summary>What an agent holds now.</summary>
    public Task<IReadOnlyList<DispatchTask>> GetHeldTasksAsync(string agentId, CancellationToken cancel = default) =>
        ReadAsync(Get(Agents.Segment(agentId).Then("tasks")), WireJson.Default.IReadOnlyListDispatchTask, cancel);

    /// <summary>The capability map. For an admin.</summary>
    public Task<IReadOnlyList<Agent>> ListAgentsAsync(AgentFilter? filter = null, CancellationToken cancel = default) =>
        ReadAsync(Get(Agents.With("capability", filter?.Capability).With("status", filter?.Status).With("owner", filter?.Owner)), WireJson.Default.IReadOnlyListAgent, cancel);

    /// <summary>Stops giving an agent work, until resumed. For an admin.</summary>
    public Task<Agent> DrainAgentAsync(string agentId, CancellationToken cancel = default) =>
        ReadAsync(Post(Agents.Segment(agentId).Then("drain"), Repeating.Safe), WireJson.Default.Agent, cancel);

    /// <summary>Gives a drained agent work again. For an admin.</summary>
    public Task<Agent> ResumeAgentAsync(string agentId, CancellationToken cancel = default) =>
        ReadAsync(Post(Agents.Segment(agentId).Then("resume"), Repeating.Safe), WireJson.Default.Agent, cancel);

    private Call Exchange(string agentId, ExchangeRequest request, int max, TimeSpan wait, Repeating repeating)
    {
        var path = Agents.Segment(agentId).Then("work").With("max", max).With("wait_ms", Milliseconds(wait));
        return Post(path, repeating) with { Body = Bytes(request, WireJson.Default.ExchangeRequest), Wait = wait };
    }
}
