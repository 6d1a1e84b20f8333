using System.Reflection;
using System.Text;

namespace Dispatch.Client.Tests;

/// <summary>
/// The public members of the library against the approved list. When a change is meant, run the tests with
/// DISPATCH_APPROVE=1 and commit the list with it.
/// </summary>
public sealed class PublicSurfaceTests
{
    private const string Approved = "PublicSurface.approved.txt";

    [Fact]
    public void The_public_surface_is_the_approved_one()
    {
        var actual = Describe(typeof(DispatchClient).Assembly);
        if (Environment.GetEnvironmentVariable("DISPATCH_APPROVE") == "1")
            File.WriteAllText(Path.Combine(SourceDirectory(), Approved), actual);

        Assert.Equal(File.ReadAllText(Path.Combine(SourceDirectory(), Approved)), actual);
    }

    // By walking up from where the tests run: the compiler's own idea of the path is mapped away in deterministic builds.
    private static string SourceDirectory()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Dispatch.slnx")))
            directory = directory.Parent;
        var root = directory ?? throw new DirectoryNotFoundException($"No Dispatch.slnx above {AppContext.BaseDirectory}.");
        return Path.Combine(root.FullName, "tests", "Dispatch.Client.Tests");
    }

    private static string Describe(Assembly assembly)
    {
        var text = new StringBuilder();
        foreach (var type in assembly.GetExportedTypes().OrderBy(type => type.FullName, StringComparer.Ordinal))
        {
            text.Append(Kind(type)).Append(' ').Append(type.FullName);
            if (type.BaseType is { } from && from != typeof(object) && from != typeof(Enum) && from != typeof(ValueType))
                text.Append(" : ").Append(Name(from));
            text.Append('\n');
            foreach (var member in Members(type).Order(StringComparer.Ordinal))
                text.Append("    ").Append(member).Append('\n');
        }
        return text.ToString();
    }

    private static IEnumerable<string> Members(Type type)
    {
        const BindingFlags Visible = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        if (type.IsEnum)
            return Enum.GetNames(type).Select((name, i) => $"{name} = {Convert.ToInt32(Enum.GetValues(type).GetValue(i), System.Globalization.CultureInfo.InvariantCulture)}");

        // What the compiler adds to every record says nothing.
        var isRecord = type.GetMethod("<Clone>$") is not null;
        string[] ofRecords = ["Equals", "GetHashCode", "ToString", "op_Equality", "op_Inequality", "<Clone>$", "Deconstruct", "PrintMembers"];
        var nullability = new NullabilityInfoContext();
        var constructors = type.GetConstructors(Visible).Where(made => !(isRecord && made.GetParameters() is [{ } only] && only.ParameterType == type))
            .Select(made => $"new({Parameters(made, nullability)})");
        var fields = type.GetFields(Visible).Select(field => field.IsLiteral ? $"const {Name(field.FieldType)} {field.Name} = {field.GetRawConstantValue()}" : $"field {Name(field.FieldType)} {field.Name}");
        var properties = type.GetProperties(Visible).Where(property => !(isRecord && property.Name == "EqualityContract"))
            .Select(property => $"{(Required(property) ? "required " : "")}{Name(property.PropertyType, nullability.Create(property))} {property.Name} {{{Accessors(property)} }}");
        var methods = type.GetMethods(Visible).Where(method => !method.IsSpecialName && !(isRecord && ofRecords.Contains(method.Name)))
            .Select(method => $"{(method.IsStatic ? "static " : "")}{Name(method.ReturnType, nullability.Create(method.ReturnParameter))} {method.Name}{Generic(method)}({Parameters(method, nullability)})");
        return [.. constructors, .. fields, .. properties, .. methods];
    }

    private static string Kind(Type type) => type switch
    {
        { IsEnum: true } => "enum",
        { IsInterface: true } => "interface",
        { IsValueType: true } => "struct",
        { IsAbstract: true, IsSealed: true } => "static class",
        _ => (type.IsSealed ? "sealed " : type.IsAbstract ? "abstract " : "") + (type.GetMethod("<Clone>$") is null ? "class" : "record"),
    };

    private static bool Required(PropertyInfo property) => property.GetCustomAttribute<System.Runtime.CompilerServices.RequiredMemberAttribute>() is not null;

    private static string Accessors(PropertyInfo property)
    {
        var set = property.SetMethod is { IsPublic: true } setter
            ? setter.ReturnParameter.GetRequiredCustomModifiers().Any(modifier => modifier.Name == "IsExternalInit") ? " init;" : " set;"
            : "";
        return (property.GetMethod is { IsPublic: true } ? " get;" : "") + set;
    }

    private static string Generic(MethodInfo method) => method.IsGenericMethod ? $"<{string.Join(", ", method.GetGenericArguments().Select(argument => argument.Name))}>" : "";

    private static string Parameters(MethodBase method, NullabilityInfoContext nullability) => string.Join(", ", method.GetParameters().Select(parameter =>
        $"{(parameter.IsOut ? "out " : "")}{Name(parameter.ParameterType, nullability.Create(parameter))} {parameter.Name}{(parameter.HasDefaultValue ? $" = {parameter.DefaultValue ?? "default"}" : "")}"));

    private static string Name(Type type, NullabilityInfo? nullability = null)
    {
        if (Nullable.GetUnderlyingType(type) is { } under)
            return Name(under) + "?";
        if (type.IsByRef)
            return Name(type.GetElementType()!);
        var name = type.IsGenericType
            ? $"{type.Name[..type.Name.IndexOf('`')]}<{string.Join(", ", type.GetGenericArguments().Select((argument, i) => Name(argument, nullability?.GenericTypeArguments.ElementAtOrDefault(i))))}>"
            : type.Name;
        return !type.IsValueType && nullability?.ReadState == NullabilityState.Nullable ? name + "?" : name;
    }
}
