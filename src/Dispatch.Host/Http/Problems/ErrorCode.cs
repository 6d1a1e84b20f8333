namespace Dispatch.Host.Http.Problems;

/// <summary>
/// A refusal as a caller sees it. This is the one table that maps refusals to HTTP; docs/errors.md is written from it. A code
/// is never given a second meaning.
/// </summary>
/// <param name="Name">Stable name, the member <c>code</c>.</param>
/// <param name="Status">HTTP status.</param>
/// <param name="Title">The same for every problem of this code.</param>
/// <param name="Advice">What the caller should do about it.</param>
public sealed record ErrorCode(string Name, int Status, string Title, string Advice)
{
    public static readonly ErrorCode Validation = new("validation", 400, "The request is not valid",
        "Mend every fault listed in `errors` and send it again. Nothing was changed.");

    public static readonly ErrorCode Unauthorized = new("unauthorized", 401, "The caller is not known",
        "Send `X-Agent-ID` and, where it is asked for, a valid bearer token that belongs to that agent.");

    public static readonly ErrorCode Forbidden = new("forbidden", 403, "The caller may not do this",
        "Ask with the administrator's token, or as the agent that this belongs to.");

    public static readonly ErrorCode TaskNotFound = new("task_not_found", 404, "There is no such task",
        "Check the id. A task that the caller may not read looks the same; a finished one is removed after `retention.finished_tasks_ms`.");

    public static readonly ErrorCode AgentNotFound = new("agent_not_found", 404, "There is no such agent",
        "Register it with PUT /api/v1/agents/{id}. An agent that was offline for `agents.reap_after_ms` is removed.");

    public static readonly ErrorCode TokenNotFound = new("token_not_found", 404, "There is no such token",
        "Take the id from GET /api/v1/tokens.");

    public static readonly ErrorCode SessionNotFound = new("session_not_found", 404, "There is no such open session",
        "Take the id from GET /api/v1/sessions. A session that was closed or has expired is not open.");

    public static readonly ErrorCode PublisherNotFound = new("publisher_not_found", 404, "There is no such publisher",
        "Take the id from GET /api/v1/publishers.");

    public static readonly ErrorCode WebhookNotFound = new("webhook_not_found", 404, "There is no such webhook",
        "Take the id from GET /api/v1/webhooks.");

    public static readonly ErrorCode QuestionNotFound = new("question_not_found", 404, "There is no such question",
        "Check the id. A question that the caller neither asked nor may answer looks the same.");

    public static readonly ErrorCode ResponderNotFound = new("responder_not_found", 404, "There is no such responder",
        "Take the id from GET /api/v1/responders.");

    public static readonly ErrorCode LimitNotFound = new("limit_not_found", 404, "There is no such limit",
        "Take the id from GET /api/v1/limits.");

    public static readonly ErrorCode NamespaceNotFound = new("namespace_not_found", 404, "There is no such namespace",
        "Take the name from GET /api/v1/namespaces, or make it with POST /api/v1/namespaces.");

    public static readonly ErrorCode NodeNotFound = new("node_not_found", 404, "There is no such node",
        "Take the name from GET /api/v1/nodes.");

    public static readonly ErrorCode NotFound = new("not_found", 404, "There is no such route",
        "Check the path against /openapi/v1.json.");

    public static readonly ErrorCode MethodNotAllowed = new("method_not_allowed", 405, "The route does not take this method",
        "Use one of the methods in the header `Allow`.");

    public static readonly ErrorCode RequestTimeout = new("request_timeout", 408, "The request came too slowly",
        "Send it again, all of it without pause.");

    public static readonly ErrorCode TaskState = new("task_state", 409, "The task's state forbids this",
        "Read the task; `detail` names its state.");

    public static readonly ErrorCode StaleAttempt = new("stale_attempt", 409, "The attempt is no longer the current one",
        "Drop the work: the task was given to somebody else, or has ended. Nothing was changed.");

    public static readonly ErrorCode IdempotencyMismatch = new("idempotency_mismatch", 409, "The idempotency key was used for another request",
        "Use a new key for a new request; repeat the old request byte for byte to get its task.");

    public static readonly ErrorCode TaskExists = new("task_exists", 409, "A task with this id exists",
        "Use a new id, or leave it out.");

    public static readonly ErrorCode SessionExists = new("session_exists", 409, "A session with this id is open",
        "Close it first, use another id, or leave the id out.");

    public static readonly ErrorCode QuestionClosed = new("question_closed", 409, "The question is settled already",
        "Read the question for its outcome. The answer was not counted.");

    public static readonly ErrorCode AlreadyAnswered = new("already_answered", 409, "This responder has answered already",
        "The first answer stands. Read the question to see it.");

    public static readonly ErrorCode VersionMismatch = new("version_mismatch", 409, "It was changed since the version that the request names",
        "Read it again, look whether the change is still wanted, and send it with the version that it has now.");

    public static readonly ErrorCode EventsGone = new("events_gone", 410, "The events are no longer kept",
        "Go on from `horizon`, the oldest event that is kept; what was before it is lost to this reader.");

    public static readonly ErrorCode PayloadTooLarge = new("payload_too_large", 413, "The body is too large",
        "Send fewer tasks at once or smaller ones; the limit is `limits.body_bytes`.");

    public static readonly ErrorCode UnsupportedMediaType = new("unsupported_media_type", 415, "The body is not of a type that is understood",
        "Send JSON with `Content-Type: application/json`.");

    public static readonly ErrorCode MisdirectedRequest = new("misdirected_request", 421, "The request names another host",
        "Use localhost or the address in the broker's start message; other names are allowed by `server.allowed_hosts`.");

    public static readonly ErrorCode UpgradeRequired = new("upgrade_required", 426, "The route speaks another protocol",
        "Connect to it with a WebSocket client.");

    public static readonly ErrorCode TooManyRequests = new("too_many_requests", 429, "The caller sends too fast",
        "Wait the seconds in `Retry-After`. The limits are `limits.requests_per_second` and `limits.burst`.");

    public static readonly ErrorCode TooManyQuestions = new("too_many_questions", 429, "The caller has too many open questions",
        "Wait until some are answered, or withdraw them with DELETE /api/v1/questions/{id}.");

    public static readonly ErrorCode Internal = new("internal", 500, "The broker failed",
        "Look for the `request_id` in the broker's log, and report it.");

    public static readonly ErrorCode NoWriter = new("no_writer", 503, "No node writes the namespace now",
        "Nothing was changed. Try again after `Retry-After`: another node takes over within seconds.");

    public static readonly ErrorCode StoreUnavailable = new("store_unavailable", 503, "The store does not take writes",
        "Try again after `Retry-After` with the same idempotency key: nothing happened, or it can't be known yet.");

    public static readonly ErrorCode Busy = new("busy", 503, "The broker's queue is full",
        "Try again after `Retry-After`. Nothing was changed.");

    public static readonly ErrorCode ShuttingDown = new("shutting_down", 503, "The broker is stopping",
        "Try again after `Retry-After`. Nothing was changed.");

    /// <summary>Every code, by status.</summary>
    public static IReadOnlyList<ErrorCode> All { get; } =
    [
        Validation, Unauthorized, Forbidden, TaskNotFound, AgentNotFound, TokenNotFound, SessionNotFound, PublisherNotFound, WebhookNotFound, QuestionNotFound, ResponderNotFound, LimitNotFound, NamespaceNotFound, NodeNotFound, NotFound, MethodNotAllowed, RequestTimeout,
        TaskState, StaleAttempt, IdempotencyMismatch, TaskExists, SessionExists, QuestionClosed, AlreadyAnswered, VersionMismatch, EventsGone, PayloadTooLarge, UnsupportedMediaType, MisdirectedRequest,
        UpgradeRequired, TooManyRequests, TooManyQuestions, Internal, NoWriter, StoreUnavailable, Busy, ShuttingDown,
    ];

    /// <summary>Where the code is described; the member <c>type</c>.</summary>
    public string Type { get; } = "https://dispatch.dev/errors/" + Name;

    /// <summary>The code for a bare status that something else than an endpoint has set.</summary>
    public static ErrorCode ForStatus(int status) => status switch
    {
        401 => Unauthorized,
        403 => Forbidden,
        404 => NotFound,
        405 => MethodNotAllowed,
        408 => RequestTimeout,
        413 => PayloadTooLarge,
        415 => UnsupportedMediaType,
        421 => MisdirectedRequest,
        429 => TooManyRequests,
        503 => Busy,
        >= 400 and < 500 => Validation,
        _ => Internal,
    };
}
