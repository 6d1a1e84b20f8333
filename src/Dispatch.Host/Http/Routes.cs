using Dispatch.Host.Auth;
using Dispatch.Host.Http.Problems;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Http;

/// <summary>What the endpoints have in common: methods, query parameters, ids in paths.</summary>
internal static class Routes
{
    private static readonly string[] Reads = [HttpMethods.Get, HttpMethods.Head];
    private static readonly QueryNames NoQuery = new([]);

    /// <summary>A read: GET, and HEAD with the same headers and no body.</summary>
    public static IEndpointConventionBuilder MapRead(this IEndpointRouteBuilder routes, string pattern, RequestDelegate endpoint) =>
        routes.MapMethods(pattern, Reads, endpoint);

    /// <summary>The query parameters of the route. Its endpoint refuses others, together with what else is wrong.</summary>
    public static void Takes(this IEndpointConventionBuilder route, params string[] names) => route.WithMetadata(new QueryNames(names));

    /// <summary>Lets guests in: the endpoint shows them nothing but what their session holds.</summary>
    public static IEndpointConventionBuilder OpenToGuests(this IEndpointConventionBuilder route) => route.WithMetadata(GuestsMayEnter.Is);

    /// <summary>Keeps guests out of everything that is not open to them, whether it exists or not. Place it below routing.</summary>
    public static void UseGuestCheck(this IApplicationBuilder app) => app.Use(next => http =>
    {
        if (http.FindCaller() is { Pass: not null } && http.GetEndpoint()?.Metadata.GetMetadata<GuestsMayEnter>() is null)
            throw new ProblemException(new Problem(ErrorCode.Forbidden, "A guest of a session may read /api/v1/events, /api/v1/events/stream and /api/v1/events/ws, and nothing else."));
        return next(http);
    });

    /// <summary>The query parameters that an endpoint takes.</summary>
    internal static IReadOnlyList<string> QueryOf(Endpoint endpoint) => (endpoint.Metadata.GetMetadata<QueryNames>() ?? NoQuery).Names;

    /// <summary>Adds a fault for each query parameter that the route does not take: a typo that is ignored is a lost instruction.</summary>
    public static void RefuseUnknownQuery(this HttpContext http, Faults faults)
    {
        if (!http.Request.QueryString.HasValue)
            return;
        var known = QueryOf(http.GetEndpoint()!);
        foreach (var name in http.Request.Query.Keys)
        {
            if (!known.Contains(name, StringComparer.Ordinal))
                faults.Add(name, known.Count == 0 ? "this route takes no query parameters" : $"is no parameter of this route; known are {string.Join(", ", known)}");
        }
    }

    /// <summary>Refuses query parameters on behalf of the endpoints that take none. Place it below routing.</summary>
    public static void UseQueryCheck(this IApplicationBuilder app) => app.Use(next => http =>
    {
        if (http.Request.QueryString.HasValue && http.FindCaller() is not null && http.GetEndpoint() is { } endpoint && endpoint.Metadata.GetMetadata<QueryNames>() is null)
        {
            var faults = new Faults();
            http.RefuseUnknownQuery(faults);
            faults.ThrowIfAny();
        }

        return next(http);
    });

    /// <summary>
    /// The id in the path. The server leaves <c>%2F</c> as it is, which can then not be told from an id that holds these three characters:
    /// an id with a percent sign is read from what the caller sent.
    /// </summary>
    public static string PathId(this HttpContext http)
    {
        var id = (string)http.GetRouteValue("id")!;
        if (!id.Contains('%', StringComparison.Ordinal) || http.Features.Get<IHttpRequestFeature>()?.RawTarget is not { } target)
            return id;

        // Every id stands behind /api/v1/ and the name of a collection.
        var start = target.IndexOf("/api/", StringComparison.OrdinalIgnoreCase);
        var path = target[Math.Max(0, start)..].Split('?', 2)[0].Split('/');
        var sent = path.Length > 4 ? Uri.UnescapeDataString(path[4]) : "";
        return sent.Replace("/", "%2F", StringComparison.Ordinal).Equals(id, StringComparison.OrdinalIgnoreCase) ? sent : id;
    }

    /// <summary>The agent in the path.</summary>
    /// <exception cref="ProblemException">No agent can have this id.</exception>
    public static string PathAgent(this HttpContext http)
    {
        var id = http.PathId();
        if (AgentIds.IsValid(id))
            return id;
        throw new ProblemException(new Problem(ErrorCode.Validation, $"id: {AgentIds.Fault}") { Errors = [new FieldFault("id", AgentIds.Fault)] });
    }

    /// <summary>Admits admins only.</summary>
    /// <exception cref="ProblemException">The caller is somebody else, or nobody who showed a token.</exception>
    public static void DemandAdmin(this HttpContext http)
    {
        if (http.Caller().IsAdmin)
            return;
        throw new ProblemException(http.Request.Headers.Authorization.Count == 0
            ? new Problem(ErrorCode.Unauthorized, "This route needs the administrator's token: send Authorization: Bearer and the admin token.")
            : new Problem(ErrorCode.Forbidden, "Only an admin may do this; the token sent is an agent's."));
    }

    private sealed record GuestsMayEnter
    {
        public static readonly GuestsMayEnter Is = new();
    }

    private sealed record QueryNames(string[] Names);
}
