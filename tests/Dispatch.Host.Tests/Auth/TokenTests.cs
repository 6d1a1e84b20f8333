using System.Runtime.Versioning;
using System.Security.Cryptography;
using System.Text;
using Dispatch.Host.Auth;
using Dispatch.Host.Configuration;

namespace Dispatch.Host.Tests.Auth;

// File modes: on Windows the profile's own access list does their work.
[UnsupportedOSPlatform("windows")]
public sealed class TokenTests : IDisposable
{
    private readonly TemporaryDirectory directory = new();

    public void Dispose() => directory.Dispose();

    [Fact]
    public void A_hash_is_the_SHA256_of_the_secret()
    {
        const string secret = "dsp_example";
        string expected = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(secret)));
        Assert.Equal(expected, TokenHash.Of(secret).ToString());
        Assert.Equal(TokenHash.Of(secret), TokenHash.Parse(expected));
        Assert.NotEqual(TokenHash.Of(secret), TokenHash.Of(secret + "x"));
        Assert.ThrowsAny<FormatException>(() => TokenHash.Parse("abcd"));
    }

    [Fact]
    public void Made_tokens_have_256_bits_and_a_prefix()
    {
        Assert.Matches("^dsp_[A-Za-z0-9_-]{43}$", TokenText.MakeForAgent());
        Assert.Matches("^dsa_[A-Za-z0-9_-]{43}$", TokenText.MakeForAdmin());
        Assert.NotEqual(TokenText.MakeForAgent(), TokenText.MakeForAgent());
    }

    [Fact]
    public void A_configured_admin_token_is_used_and_nothing_is_written()
    {
        DispatchConfig config = Config("data") with { Server = new ServerSettings { AdminToken = "configured" } };
        AdminToken token = AdminToken.Open(config);
        Assert.True(token.IsSame(TokenHash.Of("configured")));
        Assert.Null(token.File);
        Assert.False(Directory.Exists(directory.File("data")));
    }

    [Fact]
    public void Without_one_it_is_made_once_for_its_owner_alone()
    {
        AdminToken made = AdminToken.Open(Config("data"));
        Assert.True(made.IsNew);
        Assert.Equal(directory.File("data/admin-token"), made.File);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(made.File!));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(directory.File("data")));
        Assert.Equal(["admin-token"], Directory.GetFiles(directory.File("data")).Select(Path.GetFileName));

        string secret = File.ReadAllText(made.File!).TrimEnd('\n');
        Assert.StartsWith("dsa_", secret);
        AdminToken read = AdminToken.Open(Config("data"));
        Assert.False(read.IsNew);
        Assert.True(read.IsSame(TokenHash.Of(secret)));
        Assert.True(made.IsSame(TokenHash.Of(secret)));
        Assert.False(read.IsSame(TokenHash.Of(secret + "x")));
    }

    [Fact]
    public void A_left_over_of_a_crash_is_no_hindrance()
    {
        directory.Write("data/admin-token.new", "half");
        AdminToken made = AdminToken.Open(Config("data"));
        Assert.True(made.IsSame(TokenHash.Of(File.ReadAllText(made.File!).Trim())));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(made.File!));
    }

    [Theory]
    [InlineData(UnixFileMode.GroupRead)]
    [InlineData(UnixFileMode.OtherRead)]
    [InlineData(UnixFileMode.OtherWrite)]
    public void A_file_that_others_can_read_is_refused(UnixFileMode others)
    {
        string file = AdminToken.Open(Config("data")).File!;
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | others);

        AdminTokenException refusal = Assert.Throws<AdminTokenException>(() => AdminToken.Open(Config("data")));
        Assert.Contains("chmod 600 " + file, refusal.Message);
        Assert.DoesNotContain(File.ReadAllText(file).Trim(), refusal.Message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n")]
    [InlineData("two words")]
    public void A_file_without_a_token_is_refused(string content)
    {
        string file = AdminToken.Open(Config("data")).File!;
        File.WriteAllText(file, content);
        Assert.Contains("does not hold a token", Assert.Throws<AdminTokenException>(() => AdminToken.Open(Config("data"))).Message);
    }

    [Fact]
    public void A_directory_that_can_not_be_made_is_told()
    {
        directory.Write("data", "a file");
        Assert.Contains("server.admin_token", Assert.Throws<AdminTokenException>(() => AdminToken.Open(Config("data"))).Message);
    }

    [Fact]
    public void An_admin_token_is_never_empty() => Assert.Throws<ArgumentException>(() => new AdminToken(""));

    private DispatchConfig Config(string name) =>
        new() { Database = new DatabaseSettings { Url = "sqlite://" + directory.File(name + "/dispatch.db") } };
}
