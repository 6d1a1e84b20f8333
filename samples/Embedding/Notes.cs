using Dispatch.Host.Bus;

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
