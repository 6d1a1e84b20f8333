using System.Collections;
using Dispatch.Storage.Postgres;

namespace Dispatch.Host.Configuration;

/// <summary>Where a configuration is taken from. The defaults are this process.</summary>
public sealed record ConfigInputs
{
    /// <summary>The file named by --config; it must exist. Null: ./dispatch.yaml, else ~/.dispatch/dispatch.yaml, else none.</summary>
    public string? File { get; init; }

    /// <summary>What the file holds, by who has read it already. Null: it is read.</summary>
    public ReadOnlyMemory<byte>? Content { get; init; }

    /// <summary>
    /// The directory named by --data-dir: the same as database.url sqlite://DIR/dispatch.db; with a PostgreSQL in database.url it is only where the admin
    /// token and broker.json are kept. Null: none named.
    /// </summary>
    public string? DataDirectory { get; init; }

    /// <summary>Values of the command line by dotted key, such as "server.port".</summary>
    public IReadOnlyDictionary<string, string> Overrides { get; init; } = new Dictionary<string, string>();

    /// <summary>Environment variables. Empty ones count as not set.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } =
        System.Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .ToDictionary(entry => (string)entry.Key, entry => (string?)entry.Value ?? "");

    /// <summary>What relative paths are relative to.</summary>
    public string WorkingDirectory { get; init; } = System.Environment.CurrentDirectory;

    /// <summary>What "~/" stands for.</summary>
    public string HomeDirectory { get; init; } =
        System.Environment.GetFolderPath(System.Environment.SpecialFolder.UserProfile);
}

/// <summary>
/// Loads a <see cref="DispatchConfig"/>: defaults, then file, then environment, then command line, each over the one
/// before. Every fault of every layer is found before it gives up, also in values that a later layer replaces: they
/// would bite on the day that the later layer goes.
/// </summary>
public sealed class ConfigLoader
{
    private const string FileName = "dispatch.yaml";
    private const string LongPrefix = "DISPATCH__";

    private readonly ConfigInputs inputs;
    private readonly List<ConfigFault> faults = [];
    private readonly Dictionary<string, string> sources = new(StringComparer.Ordinal);
    private DispatchConfig config = new();
    private (string Path, string Source)? named;
    private bool isRepeatable;

    private ConfigLoader(ConfigInputs inputs) => this.inputs = inputs;

    /// <summary>Loads, or tells everything that is wrong.</summary>
    public static ConfigOutcome Load(ConfigInputs inputs)
    {
        var loader = new ConfigLoader(inputs);
        string? file = loader.FindFile();
        if (file is not null)
            loader.ReadFile(file);
        loader.ReadEnvironment();
        loader.ReadCommandLine();

        // The rules between keys say something only about values that are good in themselves.
        if (loader.faults.Count == 0)
            loader.CheckTogether();
        if (loader.faults.Count > 0)
            return new ConfigOutcome.Faulty(loader.faults);

        loader.MakeDatabaseAbsolute();
        return new ConfigOutcome.Loaded(new LoadedConfig(loader.config, loader.sources, file) { Inputs = inputs, IsRepeatable = loader.isRepeatable });
    }

    private string? FindFile()
    {
        if (inputs.File is not null)
            return Path.GetFullPath(inputs.File, inputs.WorkingDirectory);

        string[] searched =
        [
            Path.Combine(inputs.WorkingDirectory, FileName),
            Path.Combine(inputs.HomeDirectory, ".dispatch", FileName),
        ];
        return searched.FirstOrDefault(File.Exists);
    }

    private void ReadFile(string file)
    {
        foreach (ConfigFileEntry entry in ConfigFile.Read(file, inputs.Content, faults, out isRepeatable))
        {
            string source = $"{file}:{entry.Line}";
            if (entry.Section.Length == 0)
            {
                UnknownKey(entry.Name, source);
                continue;
            }

            string path = $"{entry.Section}.{entry.Name}";
            if (ConfigKeys.Find(path) is { } key)
                Set(key, entry.Text, source);
            else
                UnknownKey(path, source);
        }
    }

    private void ReadEnvironment()
    {
        if (Variable("DISPATCH_DATA_DIR") is { } directory)
            SetDataDirectory(directory, "variable DISPATCH_DATA_DIR");

        foreach (ConfigKey key in ConfigKeys.All)
        {
            if (key.Variable is { } name && Variable(name) is { } text)
                Set(key, text, "variable " + name);
        }

        foreach ((string name, string text) in inputs.Environment.OrderBy(pair => pair.Key, StringComparer.Ordinal))
        {
            if (!name.StartsWith(LongPrefix, StringComparison.OrdinalIgnoreCase) || text.Length == 0)
                continue;

            string path = name[LongPrefix.Length..].Replace("__", ".", StringComparison.Ordinal).ToLowerInvariant();
            if (ConfigKeys.Find(path) is { } key)
                Set(key, text, "variable " + name);
            else
                UnknownKey(path, "variable " + name);
        }
    }

    private void ReadCommandLine()
    {
        if (inputs.DataDirectory is { } directory)
        {
            if (inputs.Overrides.TryGetValue("database.url", out string? url) && !PostgresUrl.IsScheme(url))
                faults.Add(new ConfigFault("database.url", SecretMask.Url(url), "flag database.url", "is given together with --data-dir, which sets it too; give one of them"));
            else
                SetDataDirectory(directory, "flag --data-dir");
        }

        foreach ((string path, string text) in inputs.Overrides)
        {
            if (ConfigKeys.Find(path) is { } key)
                Set(key, text, "flag " + path);
            else
                UnknownKey(path, "flag " + path);
        }
    }

    private string? Variable(string name) =>
        inputs.Environment.TryGetValue(name, out string? text) && text.Length > 0 ? text : null;

    private void SetDataDirectory(string directory, string source)
    {
        if (directory.Length == 0 || directory.Contains('\0'))
        {
            faults.Add(new ConfigFault("database.url", directory, source, "must name a directory"));
            return;
        }

        string path = directory == "~" || directory.StartsWith("~/", StringComparison.Ordinal)
            ? inputs.HomeDirectory + directory[1..]
            : Path.GetFullPath(directory, inputs.WorkingDirectory);
        named = (path, source);
        if (!config.Database.IsPostgres)
            Set(ConfigKeys.Find("database.url")!, SqliteUrl.FromFilePath(Path.Combine(path, "dispatch.db")), source);
    }

    private void Set(ConfigKey key, string? text, string source)
    {
        if (key.Apply(config, text) is { } changed)
        {
            config = changed;
            sources[key.Path] = source;
        }
        else
        {
            string message = string.IsNullOrEmpty(text) ? "has no value" : "is not allowed";
            faults.Add(new ConfigFault(key.Path, key.Show(text), source, $"{message}; allowed is {key.Allowed}{Hint(key, text)}"));
        }
    }

    private static string Hint(ConfigKey key, string? text) => (key.Path, text) switch
    {
        ("database.url", not null) when PostgresUrl.IsScheme(text) => $". {PostgresUrl.FindFault(text)}",
        ("database.url", not null) when text.Contains(":memory:", StringComparison.Ordinal) =>
            ". A broker's store must outlive its process",
        ("server.port", not null) when text.StartsWith("tcp://", StringComparison.Ordinal) =>
            ". Kubernetes sets this variable for a service called \"dispatch\": set enableServiceLinks: false in the pod",
        _ => "",
    };

    /// <summary>A value isn't shown: a mistyped key may hold a secret.</summary>
    private void UnknownKey(string path, string source)
    {
        string? meant = Meant(path);
        faults.Add(new ConfigFault(path, null, source, meant is null
            ? "there is no such key; docs/configuration.md lists them all"
            : $"there is no such key; did you mean {meant}?"));
    }

    private static string? Meant(string path)
    {
        int dot = path.IndexOf('.', StringComparison.Ordinal);
        string name = path[(dot + 1)..];

        // The right key in the wrong section, or in none, is told apart from a slip of the hand.
        IEnumerable<ConfigKey> sameName = ConfigKeys.All.Where(key => key.Name == name);
        if (sameName.Count() == 1)
            return sameName.Single().Path;

        return dot < 0
            ? NearestName.Find(path, ConfigKeys.All.Select(key => key.Section).Distinct()) is { } section ? section + ":" : null
            : NearestName.Find(path, ConfigKeys.All.Select(key => key.Path));
    }

    private void CheckTogether()
    {
        ServerSettings server = config.Server;
        if (server.Port == server.MetricsPort && server.Port != 0)
            Refuse("server.metrics_port", $"is the port of the API too (server.port from {Source("server.port")}); the two must differ");

        if (!server.IsLoopback && config.Auth.Mode == AuthMode.TrustedHeader)
            Refuse("server.bind", "is reachable from other machines, and auth.mode trusted_header would believe whatever they say. Set auth.mode to token and give each agent a token (dispatch token create), or bind to 127.0.0.1");

        if (!server.IsLoopback && server.AdminToken is { Length: < 16 })
            Refuse("server.admin_token", "is too short for an address that other machines reach; give at least 16 characters, or none and one is made");

        if (config.Retry.Cap < config.Retry.Base)
            Refuse("retry.cap_ms", $"is below retry.base_ms ({(long)config.Retry.Base.TotalMilliseconds} from {Source("retry.base_ms")})");

        if (config.Allowances.FindShared() is { } shared)
            Refuse("allowances.teams", $"has owner {shared.Owner} in two teams, {shared.One} and {shared.Other}; an owner is in one at most");
    }

    private void Refuse(string path, string message)
    {
        ConfigKey key = ConfigKeys.Find(path)!;
        string? value = key.Value(config) is { } given ? key.Show(given.ToString()) : null;
        faults.Add(new ConfigFault(path, value, Source(path), message));
    }

    private string Source(string path) => sources.GetValueOrDefault(path, "default");

    private void MakeDatabaseAbsolute()
    {
        if (config.Database.IsPostgres)
        {
            if (named is var (path, source))
                Set(ConfigKeys.Find("database.directory")!, path, source);
            string directory = config.Database.Directory ?? Path.Combine(inputs.HomeDirectory, ".dispatch");
            config = config with { Database = config.Database with { Directory = Path.GetFullPath(directory, inputs.WorkingDirectory) } };
            return;
        }

        string file = SqliteUrl.ToFilePath(config.Database.Url, inputs.HomeDirectory, inputs.WorkingDirectory);
        config = config with { Database = new DatabaseSettings { Url = SqliteUrl.FromFilePath(file) } };
    }
}
