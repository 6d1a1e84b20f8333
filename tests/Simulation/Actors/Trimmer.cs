using Dispatch.Retention;

namespace Dispatch.Simulation.Actors;

/// <summary>Shortens the log at any moment, one step at a time, whatever became of the step before: takes bases, moves the horizon, deletes what is below.</summary>
internal sealed class Trimmer(Universe universe, Random random)
{
    public async Task RunAsync()
    {
        while (universe.Operations > 0)
        {
            await universe.DelayAsync(random.NextDouble() * random.Pick([50, 3_000]));
            switch (random.Next(4))
            {
                case 0:
                    Note((await universe.Edge.RequestAsync(broker => broker.Store.TakeBaseAsync(CancellationToken.None))).IsAnswered, Situation.BaseTaken, Situation.BaseNotTaken);
                    break;
                case 1:
                    Note((await universe.Edge.RequestAsync(MoveAsync)) is { IsAnswered: true, Value: true }, Situation.HorizonMoved, Situation.HorizonNotMoved);
                    break;
                default:
                    if ((await universe.Edge.RequestAsync(broker => broker.Store.TrimAsync(random.Next(1, 40), CancellationToken.None))) is { IsAnswered: true, Value: true })
                        universe.Reached(Situation.LogTrimmed);
                    break;
            }
        }
    }

    private async Task<bool> MoveAsync(Broker broker)
    {
        var extent = await broker.Store.FindExtentAsync(CancellationToken.None);
        var bases = extent.Bases.Where(known => known.Sequence >= extent.Horizon).ToList();
        if (bases.Count == 0)
            return false;
        var chosen = random.Pick(bases);
        await broker.Store.PrepareTrimAsync(chosen.Sequence, CancellationToken.None);
        return await broker.ExecuteAsync(new TrimLog(chosen, random.Pick(Enum.GetValues<TrimReason>())));
    }

    private void Note(bool holds, Situation then, Situation otherwise) => universe.Reached(holds ? then : otherwise);
}
