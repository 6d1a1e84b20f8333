using Dispatch.Servers;
using Dispatch.Storage.Tests.Postgres;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Dispatch.Storage.Tests.Contract;

/// <summary>A test of every store. It is skipped on a store whose server is not installed.</summary>
[AttributeUsage(AttributeTargets.Method)]
[XunitTestCaseDiscoverer("Dispatch.Storage.Tests.Contract.StoreFactDiscoverer", "Dispatch.Storage.Tests")]
public sealed class StoreFactAttribute : FactAttribute;

public sealed class StoreFactDiscoverer(IMessageSink diagnostics) : FactDiscoverer(diagnostics)
{
    protected override IXunitTestCase CreateTestCase(ITestFrameworkDiscoveryOptions discoveryOptions, ITestMethod testMethod, IAttributeInfo factAttribute) =>
        PostgresServer.Missing is not null && testMethod.TestClass.Class.Name == typeof(PostgresStoreContractTests).FullName
            ? new SkippedTestCase(DiagnosticMessageSink, discoveryOptions.MethodDisplayOrDefault(), discoveryOptions.MethodDisplayOptionsOrDefault(), testMethod)
            : base.CreateTestCase(discoveryOptions, testMethod, factAttribute);
}

public sealed class SkippedTestCase : XunitTestCase
{
    [Obsolete("For the runner, which makes one without arguments and fills it in.")]
    public SkippedTestCase()
    {
    }

    public SkippedTestCase(IMessageSink diagnostics, TestMethodDisplay display, TestMethodDisplayOptions options, ITestMethod method)
        : base(diagnostics, display, options, method)
    {
    }

    protected override string GetSkipReason(IAttributeInfo factAttribute) => PostgresServer.Missing ?? base.GetSkipReason(factAttribute);
}
