using Dispatch.Storage.Postgres;
using Npgsql;

namespace Dispatch.Storage.Tests.Postgres;

public sealed class PostgresUrlTests
{
    [Theory]
    [InlineData("postgresql://u:p%40ss@db.example.org:6432/tasks?sslmode=verify-full&sslrootcert=/etc/ca.pem", "db.example.org", 6432, "tasks", "u", "p@ss")]
    [InlineData("postgres://u:p@ss@db/tasks", "db", 5432, "tasks", "u", "p@ss")]
    [InlineData("POSTGRESQL://db", "db", 5432, null, null, null)]
    [InlineData("postgresql://u@/tasks?host=/run/pg&port=5433", "/run/pg", 5433, "tasks", "u", null)]
    [InlineData("postgresql://u@%2Frun%2Fpg/tasks", "/run/pg", 5432, "tasks", "u", null)]
    [InlineData("postgresql://[::1]:5433/tasks?user=u&password=p", "[::1]", 5433, "tasks", "u", "p")]
    public void The_usual_forms_are_understood(string url, string host, int port, string? database, string? user, string? password)
    {
        var address = PostgresUrl.Parse(url);

        Assert.Equal((host, port, database, user, password), (address.Host, address.Port, address.Database, address.Username, address.Password));
        Assert.Equal("dispatch", address.ApplicationName);
        Assert.Null(PostgresUrl.FindFault(url));
    }

    [Theory]
    [InlineData("disable", SslMode.Disable)]
    [InlineData("allow", SslMode.Allow)]
    [InlineData("prefer", SslMode.Prefer)]
    [InlineData("require", SslMode.Require)]
    [InlineData("verify-ca", SslMode.VerifyCA)]
    [InlineData("verify-full", SslMode.VerifyFull)]
    public void Encryption_is_as_the_address_says(string said, SslMode meant) =>
        Assert.Equal(meant, PostgresUrl.Parse($"postgresql://db/x?sslmode={said}").SslMode);

    [Fact]
    public void Several_hosts_are_kept_with_their_ports() =>
        Assert.Equal("one:5432,two:5433", PostgresUrl.Parse("postgresql://u@one,two:5433/x").Host);

    [Theory]
    [InlineData("mysql://u:s3cr3t@db/x")]
    [InlineData("postgresql://u:s3cr3t@db:seven/x")]
    [InlineData("postgresql://u:s3cr3t@db/x?sslmode=maybe")]
    [InlineData("postgresql://u:s3cr3t@db/x?ssl=1")]
    [InlineData("postgresql://u:s3cr3t@[::1/x")]
    [InlineData("postgresql://u:s3cr3t@db/x%00")]
    [InlineData("postgresql://u:s3cr3t@db/x?target_session_attrs=standby")]
    public void What_is_wrong_is_told_without_the_password(string url)
    {
        var fault = PostgresUrl.FindFault(url);

        Assert.NotNull(fault);
        Assert.DoesNotContain("s3cr3t", fault, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_shown_has_no_password() =>
        Assert.Equal("tasks at db:5433", PostgresUrl.Describe("postgresql://u:s3cr3t@db:5433/tasks?password=s3cr3t"));
}
