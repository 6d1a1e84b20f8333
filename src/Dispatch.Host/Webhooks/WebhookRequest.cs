using System.Net;
using System.Text.Json;
using Dispatch.Events;
using Dispatch.Host.Http;
using Dispatch.Host.Streams;
using Dispatch.Tasks;
using Dispatch.Webhooks;

namespace Dispatch.Host.Webhooks;

/// <summary>What a new webhook is to be, or what of one is to change: null as it is.</summary>
internal sealed record WebhookRequest(Uri? Url, string? Description, EventFilter? Filter)
{
    private const int MaxValues = 100;

    private static readonly MemberNames Known = new("url", "description", "filter");
    private static readonly MemberNames KnownLists = new("types", "sources", "subjects", "sessions");

    /// <param name="isNew">True when the URL must be there.</param>
    public static WebhookRequest Read(JsonBody body, bool isNew, bool allowPrivate)
    {
        if (!body.HasRoot || body.Root.ValueKind != JsonValueKind.Object)
            throw JsonBody.Refuse("The body must be a JSON object with url, description or filter.");

        var faults = new Faults();
        var wanted = new WebhookRequest(null, null, null);
        foreach (var member in body.Root.EnumerateObject())
        {
            var name = Known.Of(member);
            if (isNew && member.Value.ValueKind == JsonValueKind.Null && Known.Has(name))
                continue;
            wanted = name switch
            {
                "url" => wanted with { Url = ReadUrl(member.Value, allowPrivate, faults) },
                "description" => wanted with { Description = faults.Text(member.Value, name, TaskLimits.MaxMessage, allowEmpty: true) },
                "filter" => wanted with { Filter = ReadFilter(member.Value, faults) },
                _ => Unknown(wanted, name, faults),
            };
        }

        if (isNew && wanted.Url is null && faults.Count == 0)
            faults.Add("url", "is required");
        if (!isNew && faults.Count == 0 && wanted == new WebhookRequest(null, null, null))
            faults.Add("body", "nothing to change: give url, description or filter");
        faults.ThrowIfAny();
        return wanted;
    }

    private static WebhookRequest Unknown(WebhookRequest wanted, string name, Faults faults)
    {
        faults.Unknown(name, Known.All);
        return wanted;
    }

    private static Uri? ReadUrl(JsonElement value, bool allowPrivate, Faults faults)
    {
        if (faults.Text(value, "url", WebhookEndpoint.MaxUrl) is not { } text)
            return null;
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url) || url.Host.Length == 0 || (url.Scheme != Uri.UriSchemeHttp && url.Scheme != Uri.UriSchemeHttps))
            faults.Add("url", "must be an http:// or https:// address");
        else if (url.UserInfo.Length > 0)
            faults.Add("url", "must not hold a user or password");
        else if (url.AbsoluteUri.Length > WebhookEndpoint.MaxUrl)
            faults.Add("url", $"is longer than {WebhookEndpoint.MaxUrl} characters once it is escaped");
        else if (!allowPrivate && IPAddress.TryParse(url.DnsSafeHost, out var address) && PublicAddress.WhyNot(address) is { } kind)
            faults.Add("url", $"names {address}, {kind}: refused unless webhooks.allow_private is true");
        else
            return url;
        return null;
    }

    private static EventFilter ReadFilter(JsonElement value, Faults faults)
    {
        var filter = EventFilter.All;
        if (value.ValueKind != JsonValueKind.Object)
        {
            faults.Add("filter", "must be an object of lists: types, sources, subjects, sessions");
            return filter;
        }

        foreach (var member in value.EnumerateObject())
        {
            var name = KnownLists.Of(member);
            if (!KnownLists.Has(name))
            {
                faults.Add($"filter.{name}", $"is not known here; known are {string.Join(", ", KnownLists.All)}");
                continue;
            }

            var values = ReadList(member.Value, $"filter.{name}", faults);
            filter = name switch
            {
                "types" => filter with { Types = EventFilterReader.Types(values, "filter.types", faults) },
                "sources" => filter with { Sources = values },
                "subjects" => filter with { Subjects = values },
                _ => filter with { Sessions = values },
            };
        }

        return filter;
    }

    private static string[] ReadList(JsonElement value, string field, Faults faults)
    {
        if (value.ValueKind != JsonValueKind.Array || value.GetArrayLength() > MaxValues)
        {
            faults.Add(field, $"must be an array of at most {MaxValues} texts");
            return [];
        }

        return [.. value.EnumerateArray().Select((item, n) => faults.Text(item, $"{field}[{n}]", TaskLimits.MaxName)).OfType<string>().Distinct(StringComparer.Ordinal)];
    }
}

/// <summary>For how long the secret before signs too.</summary>
internal static class RotateRequest
{
    /// <summary>Thirty days.</summary>
    private const long MaxOverlapMs = 2_592_000_000;

    private static readonly MemberNames Known = new("overlap_ms");

    public static long Read(JsonBody body)
    {
        var overlap = WebhookEndpoint.DefaultOverlapMs;
        if (!body.HasRoot)
            return overlap;
        if (body.Root.ValueKind != JsonValueKind.Object)
            throw JsonBody.Refuse("The body must be a JSON object with overlap_ms, or empty.");

        var faults = new Faults();
        foreach (var member in body.Root.EnumerateObject())
        {
            var name = Known.Of(member);
            if (!Known.Has(name))
                faults.Unknown(name, Known.All);
            else if (member.Value.ValueKind != JsonValueKind.Null)
                overlap = faults.Number(member.Value, name, 0, MaxOverlapMs);
        }

        faults.ThrowIfAny();
        return overlap;
    }
}
