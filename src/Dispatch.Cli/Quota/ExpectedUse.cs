using System.CommandLine;
using Dispatch.Cli.CommandLine;
using Dispatch.Client;

namespace Dispatch.Cli.Quota;

/// <summary>Options that say what a task would use.</summary>
internal sealed class ExpectedUse
{
    private readonly Option<string?> model = new("--model") { Description = "The model it would use", HelpName = "NAME" };
    private readonly Option<string?> repo = new("--repo") { Description = "The repository it would be in", HelpName = "NAME" };
    private readonly (string Name, Option<string?> Option)[] amounts =
    [
        (LimitUnit.TokensIn, Amount("--tokens-in", "Tokens it would read")),
        (LimitUnit.TokensOut, Amount("--tokens-out", "Tokens it would write")),
        (LimitUnit.Tokens, Amount("--tokens", "Tokens in and out together")),
        (LimitUnit.Money, Amount("--money", "What it would cost, as in 0.50")),
        (LimitUnit.Requests, Amount("--requests", "Requests it would make")),
        (LimitUnit.PullRequests, Amount("--pull-requests", "Pull requests it would open")),
        (LimitUnit.Issues, Amount("--issues", "Issues it would open")),
    ];

    public void AddTo(Command command)
    {
        command.Options.Add(model);
        command.Options.Add(repo);
        foreach (var (name, option) in amounts)
        {
            command.Options.Add(option);
            option.Validators.Add(result =>
            {
                if (result.Tokens is [var token] && !QuotaAmount.TryParse(token.Value, name, out _, out var fault))
                    result.AddError($"{option.Name}: {fault}");
            });
        }
    }

    public AllowanceCheck Read(Invocation run)
    {
        var estimate = new Dictionary<string, long>(StringComparer.Ordinal);
        foreach (var (name, option) in amounts)
        {
            if (run.Get(option) is { } text && QuotaAmount.TryParse(text, name, out var amount, out _))
                estimate[name] = amount;
        }

        return new AllowanceCheck { Model = run.Get(model), Repo = run.Get(repo), Estimate = estimate.Count == 0 ? null : QuotaAmount.ToJson(estimate) };
    }

    private static Option<string?> Amount(string name, string description) => new(name) { Description = description, HelpName = "N" };
}
