namespace Dispatch.Cli.Tests.Support;

/// <summary>Looks at processes that are nobody's child here.</summary>
public static class LiveProcess
{
    /// <summary>Whether a process runs; one that has ended and waits to be collected does not.</summary>
    public static bool Exists(int id)
    {
        try
        {
            var stat = System.IO.File.ReadAllText($"/proc/{id}/stat");
            return stat[stat.LastIndexOf(')') + 2] is not ('Z' or 'X');
        }
        catch (IOException)
        {
            return false;
        }
    }
}
