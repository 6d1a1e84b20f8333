using Dispatch.Host.Http.Problems;
using Dispatch.Sequencing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Dispatch.Host.Http;

/// <summary>Answers what endpoints and the sequencer refuse.</summary>
internal static class Refusals
{
    /// <summary>Place it below UseProblems, which takes what is left: failures.</summary>
    public static void UseRefusals(this IApplicationBuilder app) => app.Use(next => http =>
    {
        Task run;
        try
        {
            run = next(http);
        }
        catch (ProblemException refused)
        {
            // From a step that is no async method.
            return http.WriteProblemAsync(refused.Problem);
        }

        return run.IsCompletedSuccessfully ? run : AnswerAsync(http, run);
    });

    private static async Task AnswerAsync(HttpContext http, Task run)
    {
        try
        {
            await run;
        }
        catch (ProblemException refused) when (!http.Response.HasStarted)
        {
            await http.WriteProblemAsync(refused.Problem);
        }
        catch (RefusedException refused) when (!http.Response.HasStarted)
        {
            var code = refused.Refusal switch
            {
                Refusal.Busy => ErrorCode.Busy,
                Refusal.Stopping => ErrorCode.ShuttingDown,
                _ => ErrorCode.StoreUnavailable,
            };
            await http.WriteProblemAsync(new Problem(code, refused.Message) { RetryAfterSeconds = 1 });
        }
    }
}
