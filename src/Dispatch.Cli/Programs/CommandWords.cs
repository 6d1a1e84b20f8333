using System.Text;

namespace Dispatch.Cli.Programs;

/// <summary>Splits a command line into words by the quoting rules of the POSIX shell, and by nothing else of it.</summary>
/// <remarks>
/// Single quotes keep everything; double quotes keep everything but <c>\"</c>, <c>\\</c>, <c>\$</c> and <c>\`</c>;
/// outside quotes a backslash keeps the next character. No variable, no glob, no redirection, no operator: what a
/// shell would act on is an ordinary character here.
/// </remarks>
public static class CommandWords
{
    /// <summary>The words of a line; an empty list when it holds only blanks.</summary>
    /// <exception cref="FormatException">A quote is not closed, or the line ends in a lone backslash.</exception>
    public static IReadOnlyList<string> Split(string line)
    {
        List<string> words = [];
        var word = new StringBuilder();
        var inWord = false;

        for (var i = 0; i < line.Length; i++)
        {
            var c = line[i];
            switch (c)
            {
                case ' ' or '\t' or '\n' or '\r':
                    if (inWord)
                        words.Add(word.ToString());
                    word.Clear();
                    inWord = false;
                    continue;

                case '\'':
                    var end = line.IndexOf('\'', i + 1);
                    if (end < 0)
                        throw new FormatException($"the single quote at position {i + 1} is not closed");
                    word.Append(line, i + 1, end - i - 1);
                    i = end;
                    break;

                case '"':
                    i = CopyDoubleQuoted(line, i, word);
                    break;

                case '\\':
                    if (++i == line.Length)
                        throw new FormatException("the line ends in a lone backslash");
                    // A backslash before a line break joins the two lines, as in a shell script.
                    if (line[i] == '\n')
                        continue;
                    word.Append(line[i]);
                    break;

                default:
                    word.Append(c);
                    break;
            }

            inWord = true;
        }

        if (inWord)
            words.Add(word.ToString());
        return words;
    }

    private static int CopyDoubleQuoted(string line, int start, StringBuilder word)
    {
        for (var i = start + 1; i < line.Length; i++)
        {
            if (line[i] == '"')
                return i;

            if (line[i] == '\\' && i + 1 < line.Length && line[i + 1] is ('"' or '\\' or '$' or '`' or '\n'))
            {
                i++;
                if (line[i] != '\n')
                    word.Append(line[i]);
                continue;
            }

            word.Append(line[i]);
        }

        throw new FormatException($"the double quote at position {start + 1} is not closed");
    }
}
