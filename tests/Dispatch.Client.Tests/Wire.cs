namespace Dispatch.Client.Tests;

/// <summary>JSON as the API sends it.</summary>
internal static class Wire
{
    public const string TaskId = "0199c0de-0000-7000-8000-000000000001";

    public static string Task(string id = TaskId, string status = "pending", int attempt = 0, string more = "", string context = "{}") =>
        $$"""
        {"id":"{{id}}","title":"Count words","status":"{{status}}","priority":5,"required_capabilities":["words"],"preferred_capabilities":[],
         "labels":{},"context":{{context}},"depends_on":[],"requester":"agent-1","attempt":{{attempt}},"retry_count":0,"max_retries":3,
         "timeout_ms":300000,"created_at":"2026-11-20T08:00:00.000Z"{{more}}}
        """;

    public const string FullTask = """
        {"id":"0199c0de-0000-7000-8000-000000000001","title":"T","description":"D","scope":"S","required_capabilities":["a","b"],
         "preferred_capabilities":["c"],"labels":{"team":"x"},"owner":"o","requester":"r","submitter":"s","session":"se","priority":8,
         "context":{"path":"a.txt","n":[1,2]},"timeout_ms":1500,"max_retries":2,"run_at":"2026-11-20T08:00:00.000Z",
         "deadline":"2026-11-20T10:00:00.500+01:00","depends_on":["d1"],"parent_id":"p","idempotency_key":"k","status":"failed",
         "assignee":"w","attempt":3,"retry_count":2,"progress":{"percent":40,"message":"m","data":{"x":1}},"result":{"r":1},"error":"E",
         "estimate":{"tokens":5},"usage":{"tokens_in":900},"created_at":"2026-11-20T07:00:00.000Z","assigned_at":"2026-11-20T07:01:00.000Z",
         "started_at":"2026-11-20T07:02:00.000Z","completed_at":"2026-11-20T07:03:00.000Z","next_attempt_at":"2026-11-20T07:04:00.000Z",
         "dead_lettered":true,"lease_expires_at":"2026-11-20T07:05:00.000Z",
         "attempts":[{"attempt":1,"agent":"w","outcome":"lost","assigned_at":"2026-11-20T07:00:30.000Z","ended_at":"2026-11-20T07:00:40.000Z","error":"gone"}],
         "a_member_of_tomorrow":{"deep":[1]}}
        """;

    public const string Agent = """
        {"id":"agent-1","capabilities":["words"],"owner":"o","labels":{"team":"x"},"max_concurrent":3,"status":"ready","active":1,"drained":false,
         "registered_at":"2026-11-20T08:00:00.000Z","last_seen_at":"2026-11-20T08:00:10.000Z","wake":{"url":"http://127.0.0.1:9/wake"},"tomorrow":1}
        """;
}
