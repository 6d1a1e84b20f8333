using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Dispatch.Events;
using Dispatch.Publishing;
using Dispatch.Sequencing;

namespace Dispatch.Tests.Publishing;

public sealed class ProgramEventTests
{
    private static readonly JsonTypeInfo<Note> Json =
        (JsonTypeInfo<Note>)new JsonSerializerOptions(JsonSerializerDefaults.Web) { TypeInfoResolver = new DefaultJsonTypeInfoResolver() }.GetTypeInfo(typeof(Note));

    [Fact]
    public void A_stored_event_of_a_programs_own_type_is_read_by_everybody()
    {
        var read = State.Read(Entry("note.taken", "notes", "notes"));

        Assert.Equal(("note.taken", "notes"), (read.Type, read.Source));
        var data = Assert.IsType<ProgramEvent>(read.Data);
        Assert.Equal(("n-1", """{"text":"milk"}"""), (data.Id, data.Content.ToString()));
        Assert.Same(ProgramEvent.KindOf("note.taken"), data.Kind);
    }

    [Fact]
    public void A_type_that_only_another_release_knows_is_not_taken_for_one()
    {
        Assert.Null(State.FindKind(Entry("world.changed", "world", "system")));
        Assert.Throws<KeyNotFoundException>(() => State.Read(Entry("world.changed", "world", "a-1")));
        Assert.Same(MemoryUpdated.Is, State.FindKind(Entry("memory.updated", "crawler", "crawler")));
    }

    [Fact]
    public void Its_content_is_parsed_once_for_all_who_follow()
    {
        var happened = new FeedEvent(Entry("note.taken", "notes", "notes"), ProgramEvent.KindOf("note.taken"));

        var first = ((ProgramEvent)happened.Event.Data).Read(Json);

        Assert.Equal(new Note("milk"), first);
        Assert.Same(first, ((ProgramEvent)happened.Event.Data).Read(Json));
    }

    private static LogEntry Entry(string type, string source, string actor) =>
        new(1, 1, type, source, "pad", null, actor, 0, 0, JsonBytes.Parse("""{"id":"n-1","content":{"text":"milk"}}"""), new byte[HashChain.Size]);

    private sealed record Note(string Text);
}
