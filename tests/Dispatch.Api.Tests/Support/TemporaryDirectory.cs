namespace Dispatch.Api.Tests.Support;

/// <summary>A directory that goes away with the test.</summary>
public sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("dispatch-api-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
