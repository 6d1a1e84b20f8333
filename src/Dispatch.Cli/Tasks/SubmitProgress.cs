using Dispatch.Cli.Terminal;
using Spectre.Console;

namespace Dispatch.Cli.Tasks;

/// <summary>The progress bar of a large submit, on standard error.</summary>
internal static class SubmitProgress
{
    /// <summary>Shows the bar while the work goes on.</summary>
    /// <param name="screen">Where.</param>
    /// <param name="size">Bytes to be read; null when nobody knows, as from a pipe.</param>
    /// <param name="work">Tells how far it is.</param>
    public static Task<SubmitSummary> ShowAsync(Screen screen, long? size, Func<Action<SubmitSummary>, Task<SubmitSummary>> work) =>
        screen.Notes.Progress()
            .AutoClear(true)
            .Columns(new SpinnerColumn(), new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(context =>
            {
                var bar = context.AddTask("submitting", maxValue: size ?? 1);
                bar.IsIndeterminate = size is null;
                return work(so =>
                {
                    bar.Value = size is null ? 0 : so.BytesRead;
                    bar.Description = Plural.Of(so.Submitted + so.SeenBefore, "task");
                });
            });
}
