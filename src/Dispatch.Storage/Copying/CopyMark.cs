using System.Globalization;
using Dispatch.Sequencing;

namespace Dispatch.Storage.Copying;

/// <summary>What stands in <c>meta</c> of a store that is not yet the whole copy of another: no broker starts on it.</summary>
/// <param name="Sequence">Last event of the source when the tables other than the log were begun.</param>
/// <param name="Hash">Its hash, hexadecimal.</param>
/// <param name="Source">The source, for people.</param>
/// <param name="Done">Tables that are copied to their end.</param>
internal sealed record CopyMark(long Sequence, string Hash, string Source, IReadOnlyList<string> Done)
{
    internal const string Key = "copy_of";

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Sequence} {Hash}\n{Source}\n{string.Join(' ', Done)}");

    /// <exception cref="FormatException">It is none.</exception>
    internal static CopyMark Parse(string text)
    {
        if (text.Split('\n') is [var end, var source, var done] && end.Split(' ') is [var number, var hash]
            && long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var sequence))
        {
            return new CopyMark(sequence, hash, source, done.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        }

        throw new FormatException($"{Key} is '{text}'.");
    }

    /// <summary>What whoever opens such a store is told.</summary>
    internal static StoreException Unfinished(string where, string mark) => new(
        StoreFault.Corrupt, $"{where} is an unfinished copy of {Parse(mark).Source}. Run that 'dispatch store copy' again, which goes on where it was; or remove this store.");
}
