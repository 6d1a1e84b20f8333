using Dispatch.Allowances;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;
using Dispatch.Host.Http;
using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Dispatch.Host.Allowances;

/// <summary>Allowances over HTTP: admins set limits and see all of them; an agent sees what it may spend itself, asks before it does, and reports what it spent.</summary>
internal sealed class AllowanceEndpoints(Sequencer sequencer, IStore store, LiveConfig config)
{
    private const string Admin = "admin";
    private const int MaxStandings = 1_000;

    // Facts go out of date only when more than a window's worth of reports comes between a read and its decision.
    private const int FactReads = 10;

    private readonly TaskSight sight = new(config.Current.Auth.EffectiveVisibility);

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapRead("/api/v1/limits", ListAsync).Takes("level", "target", "unit", "limit", "cursor");
        routes.MapPut("/api/v1/limits/{id}", SetAsync);
        routes.MapRead("/api/v1/limits/{id}", GetAsync);
        routes.MapDelete("/api/v1/limits/{id}", DeleteAsync);
        routes.MapRead("/api/v1/limits/{id}/ledger", LedgerAsync).Takes("target", "limit", "cursor");
        routes.MapRead("/api/v1/spending", SpendingAsync).Takes("unit", "limit");
        routes.MapRead("/api/v1/agents/{id}/allowance", AllowanceAsync);
        routes.MapPost("/api/v1/agents/{id}/allowance/check", CheckAsync);
        routes.MapPost("/api/v1/usage", ReportAsync);
    }

    private async Task ListAsync(HttpContext http)
    {
        http.DemandAdmin();
        var query = AllowanceRequest.ReadList(http);
        var found = await sequencer.ExecuteAsync(query with { Most = query.Most + 1, Caller = http.Caller().Agent });
        if (found.Count > query.Most)
        {
            found = [.. found.Take(query.Most)];
            http.Response.Headers.Link = $"<{TaskQueryReader.NextPage(http.Request, found[^1].Id)}>; rel=\"next\"";
        }

        await http.WriteJsonAsync(StatusCodes.Status200OK, found, AllowanceWriter.Write, isLarge: true);
    }

    private async Task SetAsync(HttpContext http)
    {
        http.DemandAdmin();
        var id = http.PathId();
        SetLimit command;
        using (var body = await JsonBody.ReadAsync(http))
            command = AllowanceRequest.ReadLimit(body, id) with { Caller = http.Caller().Agent, ByAdmin = true };
        switch (await sequencer.ExecuteAsync(command))
        {
            case LimitOutcome.Done done:
                await http.WriteJsonAsync(done.IsNew ? StatusCodes.Status201Created : StatusCodes.Status200OK, done.Limit, AllowanceWriter.Write);
                return;
            case LimitOutcome.Refused refused:
                throw new ProblemException(new Problem(ErrorCode.Validation, $"{refused.Member}: {refused.Problem}") { Errors = [new FieldFault(refused.Member, refused.Problem)] });
            case LimitOutcome.Outdated { Version: var version }:
                throw new ProblemException(new Problem(
                    ErrorCode.VersionMismatch, version == 0 ? $"There is no limit {id} yet: its version is 0." : $"Limit {id} has version {version}, not {command.IfVersion}."));
            default:
                throw NotFound(id);
        }
    }

    private async Task GetAsync(HttpContext http)
    {
        http.DemandAdmin();
        var id = http.PathId();
        var read = await sequencer.ExecuteAsync(new ReadLimit(id, MaxStandings) { Caller = http.Caller().Agent }) ?? throw NotFound(id);
        await http.WriteJsonAsync(StatusCodes.Status200OK, read, AllowanceWriter.Write, isLarge: true);
    }

    private async Task DeleteAsync(HttpContext http)
    {
        http.DemandAdmin();
        await JsonBody.IgnoreAsync(http);
        var id = http.PathId();
        if (await sequencer.ExecuteAsync(new DeleteLimit(id) { Caller = http.Caller().Agent, ByAdmin = true }) is not LimitOutcome.Done deleted)
            throw NotFound(id);
        await http.WriteJsonAsync(StatusCodes.Status200OK, deleted.Limit, AllowanceWriter.Write);
    }

    private async Task LedgerAsync(HttpContext http)
    {
        http.DemandAdmin();
        var id = http.PathId();
        var query = AllowanceRequest.ReadLedger(http, id);
        var (limit, _) = await sequencer.ExecuteAsync(new ReadLimit(id, 0) { Caller = http.Caller().Agent }) ?? throw NotFound(id);

        // A limit that is not for each has one target, and what is booked on it does not name it.
        var isOther = query.Target is not null && !limit.IsEach && !string.Equals(query.Target, limit.Target, StringComparison.Ordinal);
        if (!limit.IsEach)
            query = query with { Target = null };
        var found = isOther ? [] : await store.ListLedgerAsync(query with { Most = query.Most + 1 }, http.RequestAborted);
        if (found.Count > query.Most)
        {
            found = [.. found.Take(query.Most)];
            http.Response.Headers.Link = $"<{TaskQueryReader.NextPage(http.Request, AllowanceRequest.CursorOf(found[^1].Place))}>; rel=\"next\"";
        }

        await http.WriteJsonAsync(StatusCodes.Status200OK, found, AllowanceWriter.Write, isLarge: true);
    }

    private async Task SpendingAsync(HttpContext http)
    {
        http.DemandAdmin();
        var found = await sequencer.ExecuteAsync(AllowanceRequest.ReadSpending(http) with { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, found, AllowanceWriter.Write, isLarge: true);
    }

    private async Task AllowanceAsync(HttpContext http)
    {
        var id = AgentEndpoints.OwnId(http, "asked what it may spend");
        var allowance = await sequencer.ExecuteAsync(new ReadAllowance(id) { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, allowance, AllowanceWriter.Write);
    }

    private async Task CheckAsync(HttpContext http)
    {
        var id = AgentEndpoints.OwnId(http, "asked what it may spend");
        TaskCost? cost;
        using (var body = await JsonBody.ReadAsync(http))
            cost = AllowanceRequest.ReadCheck(body);
        var answer = await sequencer.ExecuteAsync(new CheckAllowance(id, cost) { Caller = http.Caller().Agent });
        await http.WriteJsonAsync(StatusCodes.Status200OK, answer, AllowanceWriter.Write);
    }

    private async Task ReportAsync(HttpContext http)
    {
        var caller = http.Caller();
        ReportUsage report;
        using (var body = await JsonBody.ReadAsync(http))
            report = AllowanceRequest.ReadUsage(body, caller.IsAdmin ? null : caller.Agent) with { Caller = caller.Agent, ByAdmin = caller.IsAdmin };
        if (!caller.IsAdmin && !string.Equals(report.Agent, caller.Agent, StringComparison.Ordinal))
            throw new ProblemException(new Problem(ErrorCode.Forbidden, $"{caller.Agent} reports what it used itself; an admin may report for {report.Agent}."));

        for (var read = 0; read < FactReads; read++)
        {
            var facts = await store.FindUsageAsync(caller.IsAdmin ? Admin : caller.Agent, report.Id, report.Task, http.RequestAborted);

            // A repeat is answered also when its task is gone.
            if (report.Task is { } task && facts.Known is null && (facts.Task is null || !sight.Sees(caller, facts.Task.Task)))
                throw TaskEndpoints.NotFound(task.ToString());
            switch (await sequencer.ExecuteAsync(report with { Facts = facts }))
            {
                case UsageOutcome.NeedsFacts:
                    continue;
                case UsageOutcome.Taken taken:
                    await AnswerAsync(http, report.Id, taken);
                    return;
                case UsageOutcome.Mismatch other:
                    throw new ProblemException(new Problem(ErrorCode.IdempotencyMismatch, $"id: {report.Id} was used for another report, number {other.Sequence}.")
                    {
                        Errors = [new FieldFault("id", $"was used for another report, number {other.Sequence}")],
                    });
                case UsageOutcome.LacksPrice lacks:
                    var problem = lacks.Model is null
                        ? $"names no model, and limit '{lacks.Limit}' counts money: name the model, give usage.money, or set allowances.default_model"
                        : $"has no price, and limit '{lacks.Limit}' counts money: add one for '{lacks.Model}' under allowances.prices in dispatch.yaml, or give usage.money";
                    throw new ProblemException(new Problem(ErrorCode.Validation, $"model: {problem}") { Errors = [new FieldFault("model", problem)] });
                default:
                    var attempt = report.Attempt is { } number ? $"attempt {number} of task" : "task";
                    throw new ProblemException(new Problem(ErrorCode.Forbidden, $"What was used for {attempt} {report.Task} is not {report.Agent}'s to report: another agent holds it or held it last."));
            }
        }

        throw TaskEndpoints.Overrun();
    }

    private static Task AnswerAsync(HttpContext http, string id, UsageOutcome.Taken taken) =>
        http.WriteJsonAsync(taken.IsNew ? StatusCodes.Status201Created : StatusCodes.Status200OK, (id, taken), static (json, told) =>
        {
            json.WriteStartObject();
            json.WriteString("id"u8, told.id);
            json.WriteNumber("sequence"u8, told.taken.Sequence);
            TaskWriter.Amounts(json, "spent"u8, told.taken.Spent);
            json.WriteEndObject();
        });

    private static ProblemException NotFound(string id) => new(new Problem(ErrorCode.LimitNotFound, $"There is no limit {Excerpt.Of(id, 64)}."));
}
