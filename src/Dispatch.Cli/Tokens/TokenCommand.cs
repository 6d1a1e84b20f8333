using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Cli.Tasks;
using Dispatch.Cli.Terminal;
using Dispatch.Client;

namespace Dispatch.Cli.Tokens;

/// <summary><c>dispatch token ...</c>: who may speak for which agent.</summary>
internal static class TokenCommand
{
    public static Command Create() => new DispatchCommand("token", "Make, list and revoke agents' tokens")
    {
        Examples = ["dispatch token create coder-1 --expires-in 30d", "dispatch token list"],
        Subcommands = { Make(), List(), Revoke() },
    };

    private static DispatchCommand Make()
    {
        var agent = new Argument<string>("AGENT") { Description = "The only agent id the token will speak for" };
        var name = new Option<string?>("--name") { Description = "A note for the list", HelpName = "TEXT" };
        var expires = Durations.Option("--expires-in", "How long it is good for; until revoked when left out");
        return new DispatchCommand("create", "Make a token; its secret is shown this once")
        {
            Arguments = { agent },
            Options = { name, expires },
            Examples = ["dispatch token create coder-1 --name 'build machine' --expires-in 30d", "export DISPATCH_TOKEN=$(dispatch token create coder-1)"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            var token = await client.CreateTokenAsync(new NewToken { AgentId = run.Get(agent), Name = run.Get(name), ExpiresIn = run.Get(expires) }, run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(DispatchJson.Write(token));
            run.Screen.Line(token.Token);
            if (!run.Screen.Json)
                run.Screen.Note($"This is the only time it is shown. Its id is {token.Id}; revoke it with: dispatch token revoke {token.Id}");
            return ExitCode.Ok;
        });
    }

    private static DispatchCommand List() => new DispatchCommand("list", "List tokens, without their secrets")
    {
        Examples = ["dispatch token list", "dispatch token list --json"],
    }.Does(async run =>
    {
        using var client = run.Connect();
        var tokens = await client.ListTokensAsync(run.Stop);
        if (run.Screen.Json)
        {
            run.Screen.WriteJson(DispatchJson.Write(tokens));
            return ExitCode.Ok;
        }

        if (tokens.Count == 0)
        {
            run.Screen.Note("No tokens. Make one with: dispatch token create AGENT");
            return ExitCode.Ok;
        }

        var listing = new Listing("ID", "AGENT", "NAME", "CREATED", "EXPIRES", "REVOKED");
        foreach (var token in tokens)
            listing.Add(token.Id, token.AgentId, token.Name ?? "-", TaskView.Time(token.CreatedAt), TaskView.Time(token.ExpiresAt) ?? "never", TaskView.Time(token.RevokedAt) ?? "-");
        listing.Write(run.Screen);
        return ExitCode.Ok;
    });

    private static DispatchCommand Revoke()
    {
        var id = new Argument<string>("ID") { Description = "The token's id, from the list; not the secret" };
        return new DispatchCommand("revoke", "Revoke a token; it is refused from now on")
        {
            Arguments = { id },
            Examples = ["dispatch token revoke tok_1"],
        }.Does(async run =>
        {
            using var client = run.Connect();
            await client.RevokeTokenAsync(run.Get(id), run.Stop);
            if (run.Screen.Json)
                run.Screen.WriteJson(CliJson.Write(new RevokedBody(run.Get(id), Revoked: true)));
            run.Screen.Line($"{run.Get(id)} revoked");
            return ExitCode.Ok;
        });
    }
}

/// <summary>A revocation for a machine.</summary>
internal sealed record RevokedBody(string Id, bool Revoked);
