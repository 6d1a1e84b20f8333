using System.Diagnostics;
using Dispatch.Api.Tests.Support;

namespace Dispatch.Api.Tests.Running;

public sealed class DiskFullTests
{
    [SmallDiskFact]
    public async Task On_a_full_disk_commits_are_refused_whole_until_there_is_room_again()
    {
        using var disk = SmallDisk.Mount("24m");
        await using var broker = await TestBroker.StartAsync(directory: disk.Path);
        broker.MayLogErrors = true;
        var alice = broker.As("alice");
        var worker = await broker.RegisterAsync("worker", "do");
        var held = await alice.SubmitForAsync("do");
        var context = new { text = new string('c', 200_000) };
        var accepted = new List<string>();

        // Until it is full. The ballast leaves little, and each request takes much of that.
        disk.FillUpTo(2 << 20);
        Reply reply;
        string id;
        do
        {
            id = Unique.Id();
            reply = await alice.PostAsync("/api/v1/tasks", new object[] { new { id, title = "x", scope = "other", context }, new { title = "second", scope = "other", context } });
            if (reply.Status == 201)
                accepted.Add(id);
        }
        while (reply.Status == 201 && accepted.Count < 100);

        var refused = reply.ExpectProblem(503, "store_unavailable");
        Assert.Equal("The broker's disk is full, so nothing was changed; try again later.", refused.Text("detail"));
        Assert.Equal("1", reply.Header("Retry-After"));

        // What is there can be read; nothing is half-written.
        Assert.Equal("assigned", await alice.StatusAsync(held));
        (await alice.GetAsync($"/api/v1/tasks/{id}")).ExpectProblem(404, "task_not_found");
        Assert.Equal((accepted.Count * 2) + 1, (await alice.GetAsync("/api/v1/tasks?limit=1000")).Expect(200).GetArrayLength());

        disk.MakeRoom();

        var again = await Eventually.GetAsync(
            () => alice.PostAsync("/api/v1/tasks", new { id, title = "x", scope = "other", context }), again => again.Status != 503, "the broker goes on by itself");
        again.Expect(201);
        Assert.Equal("completed", (await worker.CompleteAsync(held, new { attempt = 1 })).Text("status"));
        Assert.All(await Task.WhenAll(accepted.Select(alice.StatusAsync)), status => Assert.Equal("pending", status));

        // A restart finds what was answered, and the log has it once.
        await broker.RestartAsync();
        Assert.Equal((accepted.Count * 2) + 2, (await alice.GetAsync("/api/v1/tasks?limit=1000")).Expect(200).GetArrayLength());
        var created = await Task.WhenAll(accepted.Append(id).Select(async task => (await alice.GetAsync($"/api/v1/tasks/{task}/events")).Expect(200)[0].Number("sequence")));
        Assert.Equal(created.Length, created.Distinct().Count());
    }

    [SmallDiskFact]
    public async Task A_disk_without_room_for_a_store_is_told_at_the_start()
    {
        using var disk = SmallDisk.Mount("64k");
        disk.FillUpTo(4096);

        var refusal = await Assert.ThrowsAsync<Host.BrokerStartException>(() => TestBroker.StartAsync(directory: disk.Path));

        Assert.Contains("room", refusal.Message, StringComparison.OrdinalIgnoreCase);
    }
}

/// <summary>A file system of a few megabytes in memory.</summary>
public sealed class SmallDisk : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    public string Path => directory.Path;

    private string Ballast => System.IO.Path.Combine(Path, "ballast");

    public static SmallDisk Mount(string size)
    {
        var disk = new SmallDisk();
        if (!TryRun("mount", "-t", "tmpfs", "-o", $"size={size}", "tmpfs", disk.Path))
            throw new InvalidOperationException("The small disk can't be mounted.");
        return disk;
    }

    /// <summary>Whether this process may mount one.</summary>
    public static bool CanMount()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root")
            return false;
        using var directory = new TemporaryDirectory();
        return TryRun("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory.Path) && TryRun("umount", directory.Path);
    }

    /// <summary>Leaves so many bytes.</summary>
    public void FillUpTo(long left)
    {
        using var file = new FileStream(Ballast, FileMode.Append);
        for (var room = new DriveInfo(Path).AvailableFreeSpace; room > left; room = new DriveInfo(Path).AvailableFreeSpace)
        {
            file.Write(new byte[(int)Math.Min(room - left, 64 << 10)]);
            file.Flush();
        }
    }

    public void MakeRoom() => File.Delete(Ballast);

    public void Dispose()
    {
        TryRun("umount", "--lazy", Path);
        directory.Dispose();
    }

    private static bool TryRun(string program, params string[] arguments)
    {
        try
        {
            using var run = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false })!;
            run.StandardError.ReadToEnd();
            run.WaitForExit();
            return run.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}

/// <summary>A test that needs a disk of its own, which only root can mount.</summary>
public sealed class SmallDiskFactAttribute : FactAttribute
{
    public SmallDiskFactAttribute()
    {
        if (!SmallDisk.CanMount())
            Skip = "A small disk can be mounted by root on Linux only.";
    }
}
