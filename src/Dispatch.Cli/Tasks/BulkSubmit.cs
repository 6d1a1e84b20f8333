using System.Text;
using System.Text.Json;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Tasks;

/// <summary>Submits the lines of a file in bulks, each of which the broker takes whole or not at all.</summary>
/// <remarks>
/// It stops at the first bulk that is refused and says at which line, so that what was submitted is always a beginning of
/// the file. A bulk whose answer is lost is sent again with the same ids or keys; that never makes two tasks of one line.
/// </remarks>
/// <param name="first">Sends the first bulk, without patience for an absent broker.</param>
/// <param name="others">Sends the others; waits for a broker that restarts or is busy.</param>
/// <param name="keyPrefix">Gives every line without a key of its own the key PREFIX:LINE; null: none.</param>
/// <param name="keepIds">Whether the summary is to hold the ids, which take memory when there are millions.</param>
internal sealed class BulkSubmit(DispatchClient first, DispatchClient others, string? keyPrefix, bool keepIds)
{
    /// <summary>The broker's limit for one request.</summary>
    private const int MostTasks = 1000;

    /// <summary>Below the broker's default limit for a body, 1 MiB.</summary>
    private const int MostBytes = 900 * 1024;

    private readonly List<Line> bulk = [];
    private readonly List<string> ids = [];
    private int bytes;
    private int submitted;
    private int seenBefore;
    private long read;

    /// <summary>Submits everything a reader holds.</summary>
    /// <param name="reader">One JSON object a line; blank lines are skipped.</param>
    /// <param name="told">Told after each bulk how far it is.</param>
    /// <param name="stop">Ends between two bulks, or within one.</param>
    public async Task<SubmitSummary> RunAsync(TextReader reader, Action<SubmitSummary> told, CancellationToken stop)
    {
        try
        {
            for (var number = 1; await reader.ReadLineAsync(stop) is { } text; number++)
            {
                read += Encoding.UTF8.GetByteCount(text) + 1;
                if (string.IsNullOrWhiteSpace(text))
                    continue;
                var task = Parse(text, number);
                var size = DispatchJson.Write(task).Length + 1;
                if (bulk.Count == MostTasks || (bulk.Count > 0 && bytes + size > MostBytes))
                    await FlushAsync(told, stop);
                bulk.Add(new Line(number, task));
                bytes += size;
            }

            await FlushAsync(told, stop);
            return Summary(fault: null);
        }
        catch (Exception e) when (e is CommandException or DispatchException or DispatchUnreachableException)
        {
            return Summary(CommandFault.Of(e));
        }
    }

    private NewTask Parse(string text, int number)
    {
        NewTask task;
        try
        {
            task = NewTask.Parse(text);
        }
        catch (JsonException e)
        {
            throw new CommandException(new CommandFault(ExitCode.Usage, "line", $"line {number} is no task: {e.Message}",
                "Each line holds one task as a JSON object, for example {\"title\":\"Resize\",\"required_capabilities\":[\"images\"]}"));
        }

        return keyPrefix is not null && task.IdempotencyKey is null ? task with { IdempotencyKey = $"{keyPrefix}:{number}" } : task;
    }

    private async Task FlushAsync(Action<SubmitSummary> told, CancellationToken stop)
    {
        if (bulk.Count == 0)
            return;
        await SendAsync(bulk, stop);
        bulk.Clear();
        bytes = 0;
        told(Summary(fault: null));
    }

    private async Task SendAsync(List<Line> lines, CancellationToken stop)
    {
        try
        {
            var answer = await SubmitAsync([.. lines.Select(line => line.Task)], stop);
            if (answer.IsNew)
                submitted += lines.Count;
            else
                seenBefore += lines.Count;
            if (keepIds)
                ids.AddRange(answer.Tasks.Select(task => task.Id));
        }
        catch (DispatchException refused) when (refused.Status == 413 && lines.Count > 1)
        {
            // A broker may be set to take less than the default.
            await SendAsync(lines[..(lines.Count / 2)], stop);
            await SendAsync(lines[(lines.Count / 2)..], stop);
        }
        catch (DispatchException refused)
        {
            var fault = CommandFault.Of(refused);
            throw new CommandException(fault with
            {
                // Wrong use is what has done nothing, and bulks before this one may have been taken.
                ExitCode = fault.ExitCode == ExitCode.Usage && submitted + seenBefore > 0 ? ExitCode.Failed : fault.ExitCode,
                Message = $"{Named(lines)} refused: {InLines(fault.Message, lines)}",
                Details = [.. fault.Details.Select(detail => InLines(detail, lines))],
            });
        }
    }

    private async Task<BulkSubmission> SubmitAsync(IReadOnlyList<NewTask> tasks, CancellationToken stop)
    {
        if (submitted + seenBefore > 0)
            return await others.SubmitAsync(tasks, stop);
        try
        {
            return await first.SubmitAsync(tasks, stop);
        }
        catch (DispatchException busy) when (busy.Status is 429 or 503)
        {
            return await others.SubmitAsync(tasks, stop);
        }
    }

    private static string Named(List<Line> lines) =>
        lines.Count == 1 ? $"line {lines[0].Number} was" : $"lines {lines[0].Number} to {lines[^1].Number} are taken all or none, and were";

    /// <summary>The broker counts from the first task of the bulk; a person counts lines of the file.</summary>
    private static string InLines(string detail, List<Line> lines)
    {
        const string start = "tasks[";
        var end = detail.IndexOf(']');
        return detail.StartsWith(start, StringComparison.Ordinal) && int.TryParse(detail.AsSpan(start.Length, Math.Max(0, end - start.Length)), out var index) && index < lines.Count
            ? (lines.Count == 1 ? "" : $"line {lines[index].Number}: ") + detail[(end + 1)..].TrimStart('.')
            : detail;
    }

    private SubmitSummary Summary(CommandFault? fault) => new(submitted, seenBefore, read, fault) { Ids = ids };

    private readonly record struct Line(int Number, NewTask Task);
}
