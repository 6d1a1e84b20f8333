using System.Diagnostics;
using System.Reflection;
using Xunit;

namespace Dispatch.Architecture.Tests;

/// <summary>The core takes time, ids and randomness from outside. Checked in the compiled code, so no alias or wrapper hides a use.</summary>
public sealed class PurityTests
{
    private static readonly (Type Type, string[] Members)[] Forbidden =
    [
        (typeof(DateTime), ["get_Now", "get_UtcNow", "get_Today"]),
        (typeof(DateTimeOffset), ["get_Now", "get_UtcNow"]),
        (typeof(Stopwatch), ["StartNew", "GetTimestamp", "Start"]),
        (typeof(Environment), ["get_TickCount", "get_TickCount64"]),
        (typeof(Guid), ["NewGuid", "CreateVersion7"]),
        (typeof(Random), ["get_Shared"]),
        (typeof(Task), ["Run", "Delay"]),
        (typeof(Thread), ["Sleep"]),
        (typeof(ThreadPool), ["QueueUserWorkItem", "UnsafeQueueUserWorkItem"]),
        (typeof(Console), ["WriteLine", "Write", "get_Out", "get_Error", "get_In"]),
        (typeof(File), []),
        (typeof(FileStream), []),
        (typeof(Directory), []),
    ];

    [Fact]
    public void The_core_reads_no_clock_makes_no_id_and_does_no_input_or_output()
    {
        var wrong =
            from type in Assemblies.Core.GetTypes()
            from member in Uses.MembersUsedBy(type)
            where member is MethodBase method && IsForbidden(method)
            select $"{Uses.Written(type).FullName} uses {member.DeclaringType!.Name}.{member.Name}";

        Assert.Empty(wrong.Distinct());
    }

    [Fact]
    public void No_feature_of_the_core_locks_or_awaits()
    {
        var wrong =
            from type in Assemblies.Core.GetTypes()
            where type.Namespace is "Dispatch.Tasks" or "Dispatch.Agents" or "Dispatch.Matching" or "Dispatch.Allowances" or "Dispatch.Webhooks" or "Dispatch.Questions" or "Dispatch.Events"
            from used in Uses.TypesUsedBy(type)
            where used.Namespace is "System.Threading" or "System.Collections.Concurrent" or "System.Runtime.CompilerServices" && IsOfThreads(used)
            select $"{Uses.Written(type).FullName} uses {used.FullName}";

        Assert.Empty(wrong.Distinct());
    }

    [Fact]
    public void Only_the_loop_is_handed_a_clock()
    {
        var users =
            from type in Assemblies.Core.GetTypes()
            where Uses.Written(type).Name != "Sequencer" && Uses.TypesUsedBy(type).Contains(typeof(TimeProvider))
            select Uses.Written(type).FullName;

        Assert.Empty(users.Distinct());
    }

    // Waiting by a clock that was handed in is the loop's business.
    private static bool IsForbidden(MethodBase method) =>
        Forbidden.Any(entry => method.DeclaringType == entry.Type && (entry.Members.Length == 0 || entry.Members.Contains(method.Name)))
        && method.GetParameters().All(parameter => parameter.ParameterType != typeof(TimeProvider));

    private static bool IsOfThreads(Type type) =>
        type.Namespace != "System.Runtime.CompilerServices" || type.Name.Contains("AsyncTaskMethodBuilder", StringComparison.Ordinal) || type.Name.Contains("Awaiter", StringComparison.Ordinal);
}
