using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Terminal;
using Dispatch.Host;
using Dispatch.Storage.Copying;
using Spectre.Console;

namespace Dispatch.Cli.Stores;

/// <summary>Copies a store and tells how far it is. Apart from the command, so that those that do not copy never load its assemblies.</summary>
internal static class CopyView
{
    public static async Task<int> RunAsync(Invocation run, (string Url, string? Namespace) from, (string Url, string? Namespace) to)
    {
        var (source, target) = (new StoreAddress(from.Url, from.Namespace), new StoreAddress(to.Url, to.Namespace));
        Demand("--from", source);
        Demand("--to", target);
        CopyReport report;
        try
        {
            report = await ShowAsync(run, source, target);
        }
        catch (BrokerStartException e)
        {
            throw new CommandException(new CommandFault(ExitCode.Failed, "store", e.Message, e.Next));
        }
        catch (OperationCanceledException) when (run.Stop.IsCancellationRequested)
        {
            run.Screen.Note("interrupted; the same command goes on where it was");
            throw;
        }

        var perSecond = report.CopyTime > TimeSpan.Zero ? (long)((report.Rows - report.Resumed) / report.CopyTime.TotalSeconds) : 0;
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(CliJson.Write(new CopyBody(
                report.Source, report.Target, report.LastSequence, report.LastHash, report.Horizon, report.Events, report.Rows, report.Resumed,
                (long)report.CopyTime.TotalMilliseconds, (long)report.CheckTime.TotalMilliseconds)));
            return ExitCode.Ok;
        }

        run.Screen.Line($"{report.Source} is copied to {report.Target}");
        run.Screen.Line($"{report.Rows:N0} rows, {report.Events:N0} of them events{(report.Horizon > 1 ? $" (kept from event {report.Horizon} on)" : "")}, in {report.CopyTime.TotalSeconds:N1} s ({perSecond:N0}/s){(report.Resumed > 0 ? $"; {report.Resumed:N0} were there from an earlier run" : "")}");
        run.Screen.Line($"checked in {report.CheckTime.TotalSeconds:N1} s: all is well; the last event is {report.LastSequence}, with the hash {report.LastHash}");
        return ExitCode.Ok;
    }

    private static Task<CopyReport> ShowAsync(Invocation run, StoreAddress source, StoreAddress target)
    {
        if (run.Screen.Json)
            return StoreCopies.RunAsync(source, target, progress: null, run.Stop);
        if (!run.Screen.NotesAreTerminal)
            return StoreCopies.RunAsync(source, target, new Lines(run.Screen), run.Stop);
        return run.Screen.Notes.Progress()
            .AutoClear(true)
            .Columns(new SpinnerColumn(), new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .StartAsync(context => StoreCopies.RunAsync(source, target, new Bar(context), run.Stop));
    }

    private static void Demand(string option, StoreAddress address)
    {
        if (address.FindFault() is { } fault)
            throw CommandException.Usage($"{option}: {fault}", "See: dispatch store copy --help");
    }

    private sealed class Bar(ProgressContext context) : IProgress<CopyProgress>
    {
        private readonly long began = TimeProvider.System.GetTimestamp();
        private ProgressTask? copying;
        private ProgressTask? checking;

        public void Report(CopyProgress value)
        {
            if (value.Stage != "check")
            {
                copying ??= context.AddTask("copying", maxValue: Math.Max(value.Total, 1));
                copying.Value = value.Rows;
                copying.Description = $"{value.Stage}, {value.Copied / Math.Max(TimeProvider.System.GetElapsedTime(began).TotalSeconds, 0.001):N0} rows/s";
                return;
            }

            if (copying is not null)
                copying.Value = copying.MaxValue;
            checking ??= context.AddTask("checking", maxValue: Math.Max(value.Total, 1));
            checking.Value = value.Rows;
        }
    }

    private sealed class Lines(Screen screen) : IProgress<CopyProgress>
    {
        private static readonly TimeSpan Every = TimeSpan.FromSeconds(5);

        private readonly long began = TimeProvider.System.GetTimestamp();
        private long told = TimeProvider.System.GetTimestamp();
        private bool isChecking;

        public void Report(CopyProgress value)
        {
            var begins = value.Stage == "check" && !isChecking;
            if (!begins && TimeProvider.System.GetElapsedTime(told) < Every)
                return;
            told = TimeProvider.System.GetTimestamp();
            isChecking = value.Stage == "check";
            var seconds = TimeProvider.System.GetElapsedTime(began).TotalSeconds;
            screen.Note(isChecking
                ? $"checking the copy: {value.Rows:N0} of {value.Total:N0} events"
                : $"{value.Stage}: {value.Rows:N0} of {value.Total:N0} rows, {value.Copied / seconds:N0}/s, about {(value.Copied == 0 ? 0 : seconds * (value.Total - value.Rows) / value.Copied):N0} s left");
        }
    }
}

/// <summary>What <c>dispatch store copy --json</c> writes.</summary>
internal sealed record CopyBody(
    string Source, string Target, long LastSequence, string LastHash, long Horizon, long Events, long Rows, long Resumed, long CopyMs, long CheckMs);
