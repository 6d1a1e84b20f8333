namespace Dispatch.Simulation;

/// <summary>Plants each bug and runs seeds until it is caught: a check that can't fail proves nothing.</summary>
internal static class Proof
{
    private const int MostSeeds = 200;

    public static int Run(Command.Options options)
    {
        var missed = 0;
        foreach (var bug in Enum.GetValues<Bug>().Where(bug => bug != Bug.None))
        {
            var tried = 0;
            Outcome? caught = null;
            foreach (var outcome in Seeds.Run(options.With(bug, MostSeeds), null))
            {
                tried++;
                if (outcome.Violation is null)
                    continue;
                caught = outcome;
                break;
            }

            if (caught is null)
                missed++;
            var first = caught?.Violation?.Split('\n')[0];
            Console.WriteLine(caught is null ? $"NOT CAUGHT  {bug} in {tried} seeds" : $"caught      {bug} after {tried} seeds, seed {caught.Seed}: {first}");
        }

        var count = Enum.GetValues<Bug>().Length - 1;
        Console.WriteLine($"{count - missed} planted bugs caught, {missed} missed");
        return missed == 0 ? 0 : 1;
    }
}
