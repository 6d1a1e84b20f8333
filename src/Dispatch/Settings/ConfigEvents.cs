using System.Text.Json.Serialization;
using Dispatch.Events;

namespace Dispatch.Settings;

/// <summary>
/// The events about the broker's own configuration. They tell no table anything: what a setting led to is in the events that it led to.
/// JSON names are the public contract: additive changes only.
/// </summary>
public abstract record ConfigEvent(EventKind Kind) : EventData(Kind)
{
    /// <summary>What they are about.</summary>
    public const string Subject = "config";

    public static readonly IReadOnlyList<EventKind> Kinds = [ConfigReloaded.Is];
}

/// <summary>The configuration file was changed and read again. Values are not told: they may be secrets.</summary>
/// <param name="Applied">Keys whose new values are in force from here on.</param>
/// <param name="NeedRestart">Every key that has another value in the file than in the running broker, and gets it at the next start.</param>
public sealed record ConfigReloaded(string[] Applied, string[] NeedRestart) : ConfigEvent(Is)
{
    public static readonly EventKind Is = new("config.reloaded", "config", ConfigEventJson.Default.ConfigReloaded);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(ConfigReloaded))]
internal sealed partial class ConfigEventJson : JsonSerializerContext;
