using System.Reflection;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Dispatch.Architecture.Tests;

public sealed class LoggingTests
{
    private const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly IReadOnlyList<(string Method, int Id)> Messages =
    [
        .. from assembly in Assemblies.All
           from type in assembly.GetTypes()
           from method in type.GetMethods(Any)
           let message = method.GetCustomAttribute<LoggerMessageAttribute>()
           where message is not null
           select ($"{type.FullName}.{method.Name}", message.EventId),
    ];

    [Fact]
    public void A_log_event_id_means_one_thing_in_the_whole_program()
    {
        var shared = Messages.GroupBy(message => message.Id).Where(group => group.Count() > 1).Select(group => $"{group.Key}: {string.Join(", ", group.Select(message => message.Method))}");

        Assert.Empty(shared);
    }

    [Fact]
    public void Every_log_message_has_an_event_id() => Assert.DoesNotContain(Messages, message => message.Id <= 0);
}
