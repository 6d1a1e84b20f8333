using System.Buffers.Text;

namespace Dispatch.Bench.Wire;

/// <summary>
/// Reads HTTP/1.1 answers from a stream of bytes cut anywhere, with a length or in chunks. Bodies of successful answers
/// are only kept when asked for; bodies of refusals always, because they say why.
/// </summary>
/// <param name="keepBody">Whether successful answers' bodies are wanted.</param>
internal sealed class ResponseReader(bool keepBody)
{
    private Part _part = Part.Head;
    private long _left;
    private bool _keep;
    private byte[] _body = [];
    private int _length;

    private enum Part
    {
        Head,
        Body,
        ChunkSize,
        ChunkData,
        ChunkEnd,
        Trailer,
    }

    /// <summary>Status code of the last complete answer.</summary>
    public int Status { get; private set; }

    /// <summary>Body of the last complete answer when it was kept; valid until the next <see cref="Feed"/>.</summary>
    public ReadOnlySpan<byte> Body => _body.AsSpan(0, _length);

    /// <summary>
    /// Takes bytes; true when an answer is complete. Bytes beyond <paramref name="consumed"/> are to be offered again,
    /// with more behind them when the answer was false.
    /// </summary>
    /// <exception cref="InvalidDataException">Not HTTP/1.1, or neither length nor chunks.</exception>
    public bool Feed(ReadOnlySpan<byte> data, out int consumed)
    {
        consumed = 0;
        while (true)
        {
            var rest = data[consumed..];
            switch (_part)
            {
                case Part.Head:
                    var end = rest.IndexOf("\r\n\r\n"u8);
                    if (end < 0)
                        return false;

                    ReadHead(rest[..(end + 2)]);
                    consumed += end + 4;
                    break;

                case Part.Body or Part.ChunkData:
                    var taken = (int)Math.Min(_left, rest.Length);
                    if (_keep)
                        Append(rest[..taken]);

                    consumed += taken;
                    _left -= taken;
                    if (_left > 0)
                        return false;

                    if (_part == Part.Body)
                        return Complete();

                    _part = Part.ChunkEnd;
                    break;

                case Part.ChunkSize:
                    var line = rest.IndexOf("\r\n"u8);
                    if (line < 0)
                        return false;

                    if (!Utf8Parser.TryParse(rest[..line], out _left, out _, 'x'))
                        throw new InvalidDataException("An answer's chunk has no size.");

                    consumed += line + 2;
                    _part = _left == 0 ? Part.Trailer : Part.ChunkData;
                    break;

                case Part.ChunkEnd:
                    if (rest.Length < 2)
                        return false;

                    consumed += 2;
                    _part = Part.ChunkSize;
                    break;

                default:
                    var trailer = rest.IndexOf("\r\n"u8);
                    if (trailer < 0)
                        return false;

                    consumed += trailer + 2;
                    if (trailer == 0)
                        return Complete();

                    break;
            }
        }
    }

    private bool Complete()
    {
        _part = Part.Head;
        return true;
    }

    private void ReadHead(ReadOnlySpan<byte> head)
    {
        // "HTTP/1.1 201 Created"
        if (!head.StartsWith("HTTP/1.1 "u8) || !Utf8Parser.TryParse(head[9..], out int status, out _))
            throw new InvalidDataException("An answer is not HTTP/1.1.");

        Status = status;
        _keep = keepBody || status >= 300;
        _length = 0;
        _left = -1;
        var chunked = false;
        Next(ref head);
        while (head.Length > 0)
        {
            var line = Next(ref head);
            switch (line[0] | 0x20)
            {
                case 'c' when Value(line, "content-length:"u8) is { Length: > 0 } length:
                    if (!Utf8Parser.TryParse(length, out _left, out _))
                        throw new InvalidDataException("An answer's Content-Length is no number.");
                    break;
                case 't' when Value(line, "transfer-encoding:"u8) is { Length: > 0 } coding:
                    chunked = coding.SequenceEqual("chunked"u8);
                    break;
            }
        }

        if (!chunked && _left < 0)
            throw new InvalidDataException("An answer has neither a Content-Length nor chunks.");

        _part = chunked ? Part.ChunkSize : Part.Body;
    }

    private static ReadOnlySpan<byte> Next(ref ReadOnlySpan<byte> head)
    {
        var end = head.IndexOf("\r\n"u8);
        var line = head[..end];
        head = head[(end + 2)..];
        return line;
    }

    private static ReadOnlySpan<byte> Value(ReadOnlySpan<byte> line, ReadOnlySpan<byte> name)
    {
        if (line.Length <= name.Length)
            return default;

        for (var i = 0; i < name.Length; i++)
        {
            var letter = line[i];
            if ((letter is >= (byte)'A' and <= (byte)'Z' ? letter | 0x20 : letter) != name[i])
                return default;
        }

        return line[name.Length..].Trim((byte)' ');
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        if (_body.Length < _length + bytes.Length)
            Array.Resize(ref _body, Math.Max(_length + bytes.Length, Math.Max(1024, _body.Length * 2)));

        bytes.CopyTo(_body.AsSpan(_length));
        _length += bytes.Length;
    }
}
