using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Dispatch.Bench.Wire;

/// <summary>What is done with an answer. The body is empty unless it was kept, and gone after the call.</summary>
internal delegate void ResponseHandler(int status, ReadOnlySpan<byte> body);

/// <summary>
/// One keep-alive connection with at most one request under way. The caller owns the request's bytes and leaves them
/// alone until the answer came.
/// </summary>
internal sealed unsafe class Connection : EventSource, IDisposable
{
    private readonly EventLoop _loop;
    private readonly Socket _socket;
    private readonly int _descriptor;
    private readonly int _token;
    private readonly ResponseReader _reader;
    private readonly ResponseHandler _onResponse;
    private readonly byte[] _received;
    private int _filled;
    private ReadOnlyMemory<byte> _unsent;
    private bool _closed;

    /// <param name="loop">The loop that serves it.</param>
    /// <param name="endpoint">Where to connect; done before the constructor returns.</param>
    /// <param name="receiveBytes">Size of the receive buffer; an answer's head must fit.</param>
    /// <param name="keepBody">Whether successful answers' bodies are wanted.</param>
    /// <param name="onResponse">Called on the loop's thread for each answer; may send the next request.</param>
    public Connection(EventLoop loop, IPEndPoint endpoint, int receiveBytes, bool keepBody, ResponseHandler onResponse)
    {
        _loop = loop;
        _onResponse = onResponse;
        _reader = new ResponseReader(keepBody);
        _received = GC.AllocateUninitializedArray<byte>(receiveBytes, pinned: true);
        _socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _socket.Connect(endpoint);
        _descriptor = (int)_socket.SafeHandle.DangerousGetHandle();
        _token = loop.Add(this, _descriptor);
    }

    /// <summary>Sends one request; what the kernel does not take at once follows when it can.</summary>
    public void Send(ReadOnlyMemory<byte> request)
    {
        var sent = SendSome(request.Span);
        if (sent == request.Length)
            return;

        _unsent = request[sent..];
        _loop.Watch(_descriptor, _token, Native.Readable | Native.Writable);
    }

    public override void OnReady(uint events)
    {
        if (_closed)
            return;

        if ((events & Native.Writable) != 0 && !_unsent.IsEmpty)
        {
            _unsent = _unsent[SendSome(_unsent.Span)..];
            if (_unsent.IsEmpty)
                _loop.Watch(_descriptor, _token, Native.Readable);
        }

        // Errors and hang-ups have bits of their own; receiving tells what they are.
        if ((events & ~Native.Writable) != 0)
            Receive();
    }

    public void Dispose()
    {
        _closed = true;
        _socket.Dispose();
    }

    private int SendSome(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            var sent = Native.Send(_descriptor, start, (nuint)bytes.Length, Native.DontWait | Native.NoSignal);
            if (sent >= 0)
                return (int)sent;

            return Marshal.GetLastPInvokeError() is Native.TryAgain or Native.Interrupted ? 0 : throw Lost("sending");
        }
    }

    private void Receive()
    {
        fixed (byte* start = _received)
        {
            var count = Native.Receive(_descriptor, start + _filled, (nuint)(_received.Length - _filled), Native.DontWait);
            if (count < 0)
            {
                if (Marshal.GetLastPInvokeError() is Native.TryAgain or Native.Interrupted)
                    return;

                throw Lost("receiving");
            }

            if (count == 0)
                throw new IOException("The server closed a connection that was in use.");

            _filled += (int)count;
        }

        var offset = 0;
        while (offset < _filled)
        {
            var complete = _reader.Feed(_received.AsSpan(offset, _filled - offset), out var consumed);
            offset += consumed;
            if (!complete)
                break;

            _onResponse(_reader.Status, _reader.Body);
            if (_closed)
                return;
        }

        _filled -= offset;
        if (_filled == _received.Length)
            throw new InvalidDataException("An answer's head does not fit the receive buffer.");

        if (_filled > 0 && offset > 0)
            _received.AsSpan(offset, _filled).CopyTo(_received);
    }

    private static IOException Lost(string doing) =>
        new($"A connection was lost while {doing}: {Marshal.GetLastPInvokeErrorMessage()}");
}
