using System.Text;
using Dispatch.Bench.Wire;

namespace Dispatch.Bench.Tests;

public sealed class ResponseReaderTests
{
    private const string Three =
        "HTTP/1.1 201 Created\r\nDate: now\r\ncontent-length: 11\r\nX-Request-ID: c\r\n\r\nhello world"
        + "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
        + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    [Fact]
    public void Answers_are_read_wherever_the_stream_is_cut()
    {
        var bytes = Encoding.ASCII.GetBytes(Three);
        for (var cut = 1; cut <= bytes.Length; cut++)
            Assert.Equal(["201 hello world", "200 hello0123456789", "200 "], Read(new ResponseReader(keepBody: true), bytes, cut));
    }

    [Fact]
    public void A_body_nobody_wants_is_passed_over_unless_it_is_a_refusal()
    {
        const string Two =
            "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"
            + "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

        Assert.Equal(["201 ", "503 busy"], Read(new ResponseReader(keepBody: false), Encoding.ASCII.GetBytes(Two), 7));
    }

    [Theory]
    [InlineData("SSH-2.0 hello\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nDate: now\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    public void What_is_not_understood_is_not_guessed(string answer) =>
        Assert.Throws<InvalidDataException>(() => new ResponseReader(keepBody: true).Feed(Encoding.ASCII.GetBytes(answer), out _));

    private static List<string> Read(ResponseReader reader, byte[] bytes, int piece)
    {
        List<string> answers = [];
        byte[] kept = [];
        foreach (var part in bytes.Chunk(piece))
        {
            kept = [.. kept, .. part];
            while (kept.Length > 0)
            {
                var complete = reader.Feed(kept, out var consumed);
                kept = kept[consumed..];
                if (!complete)
                    break;

                answers.Add($"{reader.Status} {Encoding.ASCII.GetString(reader.Body)}");
            }
        }

        Assert.Empty(kept);
        return answers;
    }
}
