using System.Buffers.Text;
using System.Text.Json;

namespace Dispatch.Bench.Load;

/// <summary>The one task that <see cref="ExchangeAnswer.TryReadTask"/> stands at; its spans point into the answer.</summary>
internal ref struct HeldTask
{
    /// <summary>The id as it stands in the JSON; ids need no escaping.</summary>
    public ReadOnlySpan<byte> Id;

    /// <summary>The attempt, which goes back with the report.</summary>
    public int Attempt;

    /// <summary>The number in the title, or -1 when it is not one of ours.</summary>
    public long Number;
}

/// <summary>Reads of a work exchange's answer what a worker that does nothing needs: ids, attempts, and whether reports were accepted.</summary>
internal ref struct ExchangeAnswer
{
    private Utf8JsonReader _json;
    private bool _inTasks;

    /// <exception cref="JsonException">The answer is no JSON object.</exception>
    public ExchangeAnswer(ReadOnlySpan<byte> body)
    {
        _json = new Utf8JsonReader(body);
        if (!_json.Read() || _json.TokenType != JsonTokenType.StartObject)
            throw new JsonException("The exchange's answer is no object.");
    }

    /// <summary>Reports that were accepted; complete when <see cref="TryReadTask"/> has answered false.</summary>
    public int Accepted { get; private set; }

    /// <summary>Reports that were not.</summary>
    public int NotAccepted { get; private set; }

    /// <summary>Moves to the next delivered task; false at the end of the answer.</summary>
    public bool TryReadTask(out HeldTask task)
    {
        while (_json.Read())
        {
            if (_inTasks)
            {
                if (_json.TokenType == JsonTokenType.StartObject)
                {
                    task = ReadTask();
                    return true;
                }

                _inTasks = false;
                continue;
            }

            if (_json.TokenType != JsonTokenType.PropertyName)
                continue;

            if (_json.ValueTextEquals("tasks"u8))
                _inTasks = _json.Read() && _json.TokenType == JsonTokenType.StartArray;
            else if (_json.ValueTextEquals("reports"u8))
                ReadReports();
            else
                _json.Skip();
        }

        task = default;
        return false;
    }

    private HeldTask ReadTask()
    {
        var task = new HeldTask { Number = -1 };
        while (_json.Read() && _json.TokenType == JsonTokenType.PropertyName)
        {
            if (_json.ValueTextEquals("id"u8))
            {
                _json.Read();
                task.Id = _json.ValueSpan;
            }
            else if (_json.ValueTextEquals("attempt"u8))
            {
                _json.Read();
                task.Attempt = _json.GetInt32();
            }
            else if (_json.ValueTextEquals("title"u8))
            {
                _json.Read();
                if (_json.ValueSpan.StartsWith("bench "u8) && Utf8Parser.TryParse(_json.ValueSpan[6..], out long number, out _))
                    task.Number = number;
            }
            else
            {
                _json.Skip();
            }
        }

        return task;
    }

    private void ReadReports()
    {
        var depth = _json.CurrentDepth;
        while (_json.Read() && !(_json.TokenType == JsonTokenType.EndArray && _json.CurrentDepth == depth))
        {
            if (_json.TokenType != JsonTokenType.PropertyName || !_json.ValueTextEquals("status"u8))
                continue;

            _json.Read();
            if (_json.ValueTextEquals("accepted"u8))
                Accepted++;
            else
                NotAccepted++;
        }
    }
}
