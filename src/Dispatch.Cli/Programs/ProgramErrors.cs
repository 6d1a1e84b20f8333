using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Dispatch.Cli.Programs;

/// <summary>
/// What a program wrote to standard error: lines <c>progress 40 message</c> are passed on, of the others the last ones
/// are kept.
/// </summary>
/// <param name="onProgress">Takes the percentage, 0..100, and the message if there is one.</param>
public sealed partial class ProgramErrors(Action<int, string?> onProgress)
{
    /// <summary>Lines kept.</summary>
    public const int LinesKept = 20;

    /// <summary>Bytes kept of one line; the rest of it is dropped. The broker takes messages of 1,000 characters.</summary>
    public const int LineBytes = 1000;

    private readonly Queue<string> lines = new();
    private readonly byte[] pending = new byte[LineBytes];
    private int length;

    /// <summary>The last lines in the order written, without line breaks at the end.</summary>
    public string Tail => string.Join('\n', lines);

    /// <summary>Reads to the end of the stream.</summary>
    public async Task ReadAsync(Stream stream, CancellationToken stop)
    {
        var buffer = new byte[8 * 1024];
        try
        {
            while (await stream.ReadAsync(buffer, stop) is > 0 and var count)
                Take(buffer.AsSpan(0, count));
        }
        finally
        {
            EndLine();
        }
    }

    private void Take(ReadOnlySpan<byte> bytes)
    {
        foreach (var b in bytes)
        {
            if (b is (byte)'\n' or (byte)'\r')
                EndLine();
            else if (length < LineBytes)
                pending[length++] = b;
        }
    }

    private void EndLine()
    {
        var line = Encoding.UTF8.GetString(pending, 0, length);
        length = 0;
        if (Progress().Match(line) is { Success: true } match
            && int.Parse(match.Groups["percent"].Value, CultureInfo.InvariantCulture) is <= 100 and var percent)
        {
            onProgress(percent, match.Groups["message"].Value is { Length: > 0 } message ? message : null);
            return;
        }

        if (string.IsNullOrWhiteSpace(line))
            return;
        lines.Enqueue(line);
        if (lines.Count > LinesKept)
            lines.Dequeue();
    }

    [GeneratedRegex(@"^progress (?<percent>[0-9]{1,3})%?( +(?<message>.*))?$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture)]
    private static partial Regex Progress();
}
