using Dispatch.Host.Bus;
using Dispatch.Host.Questions;
using Dispatch.Questions;

namespace Embedding;

/// <summary>Somebody wrote a line.</summary>
internal sealed record NoteTaken(string Text);

/// <summary>Goes on where it was when the program runs again; a crash repeats the last notes at most.</summary>
internal sealed class WordCounter : IEventHandler<NoteTaken>
{
    public Task HandleAsync(EventContext<NoteTaken> happened, CancellationToken cancel)
    {
        var words = happened.Data.Text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Length;
        Console.WriteLine($"Note {happened.Entry.Sequence} has {words} words.");
        return Task.CompletedTask;
    }
}

/// <summary>Looks at tasks that were submitted with <c>--confirm</c> before an agent gets them.</summary>
internal sealed class Editor : IQuestionResponder
{
    public Task<ResponderAnswer> AnswerAsync(StoredQuestion question, CancellationToken cancel) => Task.FromResult(
        question.Proposal.ToString().Contains("delete", StringComparison.OrdinalIgnoreCase) ? ResponderAnswer.Deny("Notes are never deleted.") : ResponderAnswer.Allow());
}
