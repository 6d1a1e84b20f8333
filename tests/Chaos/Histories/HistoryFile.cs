using System.Diagnostics;

namespace Dispatch.Chaos.Histories;

/// <summary>Microseconds since the run began.</summary>
public sealed class RunClock
{
    private readonly long began = Stopwatch.GetTimestamp();

    public long NowUs => (long)Stopwatch.GetElapsedTime(began).TotalMicroseconds;
}

/// <summary>
/// What one actor asked for and what it was told, in its own file. A line is with the operating system before the actor
/// goes on, so the history outlives the actor. Used by one actor, one operation at a time.
/// </summary>
public sealed class HistoryFile(string actor, string directory, RunClock clock) : IDisposable
{
    private readonly StreamWriter writer = new(Path.Combine(directory, actor + ".jsonl")) { AutoFlush = true };
    private int operations;

    public string Actor => actor;

    /// <summary>Writes the invocation and returns its operation id.</summary>
    public string Invoke(Invocation what)
    {
        var op = $"{actor}.{++operations}";
        Write(new HistoryLine(op, actor, clock.NowUs, Phase.Invoke, Invocation: what));
        return op;
    }

    public void Ok(string op, Answer answer) => Write(new HistoryLine(op, actor, clock.NowUs, Phase.Ok, Answer: answer));

    /// <param name="code">The broker's code or the HTTP status.</param>
    public void Refused(string op, string code) => Write(new HistoryLine(op, actor, clock.NowUs, Phase.Refused, Code: code));

    public void Unknown(string op, string code) => Write(new HistoryLine(op, actor, clock.NowUs, Phase.Unknown, Code: code));

    public void Dispose() => writer.Dispose();

    private void Write(HistoryLine line) => writer.WriteLine(line.ToJson());
}
