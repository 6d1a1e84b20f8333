using Dispatch.Events;
using Dispatch.Invariants;
using Dispatch.Sequencing;
using Dispatch.Tasks;

namespace Dispatch.Tests.Events;

public sealed class HashChainTests
{
    // Made with Python's hashlib and struct from the description of the chain.
    private const string First = "d9f1c8d3e3528af791887d8681e7fab8b748cd53a942205450ed736eb4586b17";
    private const string Second = "23e887d06a5ff59880f315471b9025a939340ec22a158959d2ae5339c5418b06";

    private static readonly DispatchEvent[] Two =
    [
        new(1, 1_000, "t-1", null, "a-1", 0, 0, new TaskStarted("a-1", 1)),
        new(2, 1_001, "t-ü", "s-1", "a-1", 1, 1, new TaskStarted("a-1", 2)),
    ];

    [Fact]
    public void The_hashes_are_those_of_the_description()
    {
        var texts = EventTexts.Of(Two, new HashChain(HashChain.Start));

        Assert.Equal([First, Second], [Convert.ToHexStringLower(texts.Hash(0)), Convert.ToHexStringLower(texts.Hash(1))]);
    }

    [Fact]
    public void An_entry_that_is_read_again_has_the_same_hash()
    {
        var log = Log(50);
        var chain = new HashChain(HashChain.Start);

        foreach (var entry in log)
        {
            chain.Add(entry);
            Assert.Equal(entry.Hash, chain.Last.ToArray());
        }
    }

    [Fact]
    public void A_chain_goes_on_from_any_place()
    {
        var log = Log(10);

        Assert.Null(FirstBad(log.Skip(4), log[3].Hash));
    }

    [Fact]
    public void Ten_thousand_ways_of_tampering_are_all_found_where_they_begin()
    {
        var random = new Random(20261120);
        var log = Log(60);
        for (var n = 0; n < 10_000; n++)
        {
            var tampered = new List<LogEntry>(log);
            var at = random.Next(tampered.Count - 1);
            long? expected = at + 1;
            switch (random.Next(4))
            {
                case 0:
                    tampered[at] = Edit(tampered[at], random);
                    break;
                case 1:
                    tampered.RemoveAt(at);

                    // The first one that is there and does not follow.
                    expected = at + 2;
                    break;
                case 2:
                    (tampered[at], tampered[at + 1]) = (tampered[at + 1], tampered[at]);
                    expected = at + 2;
                    break;
                default:
                    tampered.Insert(at, tampered[random.Next(tampered.Count)] with { Timestamp = random.Next() });
                    expected = tampered[at].Sequence;
                    break;
            }

            Assert.Equal(expected, FirstBad(tampered));
        }
    }

    private static long? FirstBad(IEnumerable<LogEntry> log, byte[]? before = null)
    {
        var findings = new FindingList();
        var checker = new ChainChecker(findings, before);
        foreach (var entry in log)
            checker.Check(entry);
        Assert.Equal(checker.FirstBad is null, findings.Count == 0);
        return checker.FirstBad;
    }

    private static LogEntry Edit(LogEntry entry, Random random) => random.Next(9) switch
    {
        0 => entry with { Sequence = entry.Sequence, Timestamp = entry.Timestamp + 1 },
        1 => entry with { Type = entry.Type + "x" },
        2 => entry with { Source = "agents" },
        3 => entry with { Subject = entry.Subject[1..] + "z" },
        4 => entry with { Session = entry.Session is null ? "" : null },
        5 => entry with { Actor = "admin" },
        6 => entry with { CausedBy = entry.CausedBy + 1 },
        7 => entry with { Data = JsonBytes.Parse(entry.Data.ToString().Replace("a-1", "a-2", StringComparison.Ordinal)) },
        _ => entry with { Hash = [.. entry.Hash[..31], (byte)(entry.Hash[31] ^ 1)] },
    };

    private static List<LogEntry> Log(int count)
    {
        var chain = new HashChain(HashChain.Start);
        return
        [
            .. Enumerable.Range(1, count).Select(n =>
            {
                var happened = new DispatchEvent(n, 1_000 + n, $"t-{n % 7}", n % 3 == 0 ? "s-1" : null, "a-1", n / 2, Math.Max(0, n - 7), new TaskStarted("a-1", n));
                return EventTexts.Of([happened], chain).Entry(happened, 0);
            }),
        ];
    }
}
