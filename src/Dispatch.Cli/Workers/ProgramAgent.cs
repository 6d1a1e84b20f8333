using System.Text;
using System.Text.Json;
using Dispatch.Cli.Programs;
using Dispatch.Client;

namespace Dispatch.Cli.Workers;

/// <summary>Does a task by running a program for it.</summary>
/// <param name="template">The program and its arguments.</param>
/// <param name="runs">Runs it.</param>
/// <param name="variables">Added to the program's environment besides the task's own.</param>
internal sealed class ProgramAgent(CommandTemplate template, ProgramRun runs, IReadOnlyDictionary<string, string> variables)
{
    /// <summary>
    /// The broker ends a task that is out of time, and says so. When it can not, because it is away, the program is ended
    /// this much later: nothing runs for ever.
    /// </summary>
    private static readonly TimeSpan TimeoutSlack = TimeSpan.FromSeconds(5);

    /// <summary>One attempt at one task.</summary>
    /// <param name="item">The attempt.</param>
    /// <param name="stop">Ends the program and everything it started.</param>
    public async Task<WorkResult> WorkAsync(WorkItem item, CancellationToken stop)
    {
        var json = DispatchJson.Write(item.Task);
        IReadOnlyList<string> arguments;
        using (var document = JsonDocument.Parse(json))
        {
            switch (template.Fill(document.RootElement))
            {
                case CommandTemplate.Filling.Impossible impossible:
                    return WorkResult.Fail(impossible.Message, retryable: false);
                case CommandTemplate.Filling.Done done:
                    arguments = done.Arguments;
                    break;
                default:
                    throw new InvalidOperationException("Filling came to something unknown.");
            }
        }

        using var late = CancellationTokenSource.CreateLinkedTokenSource(stop);
        if (item.Task.Timeout > TimeSpan.Zero && item.Task.Timeout + TimeoutSlack < TimeSpan.FromDays(40))
            late.CancelAfter(item.Task.Timeout + TimeoutSlack);
        try
        {
            var verdict = await runs.RunAsync([template.Program, .. arguments], VariablesFor(item), Encoding.UTF8.GetBytes(json),
                (percent, message) => item.ReportProgress(percent, message), late.Token);
            return verdict switch
            {
                ProgramVerdict.Completed completed => WorkResult.Complete(completed.Result),
                ProgramVerdict.Failed failed => WorkResult.Fail(failed.Error, failed.Retryable),
                _ => throw new InvalidOperationException("The program came to something unknown."),
            };
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return WorkResult.Fail($"ended by its worker after {item.Task.Timeout + TimeoutSlack}: out of time, and the broker did not say so");
        }
    }

    private Dictionary<string, string> VariablesFor(WorkItem item) => new(variables)
    {
        ["DISPATCH_TASK_ID"] = item.Task.Id,
        ["DISPATCH_ATTEMPT"] = item.Attempt.ToString(System.Globalization.CultureInfo.InvariantCulture),
        ["DISPATCH_TASK_TITLE"] = item.Task.Title,
    };
}
