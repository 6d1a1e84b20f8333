using System.Collections.Frozen;
using System.Reflection;
using System.Reflection.Emit;

namespace Dispatch.Architecture.Tests;

/// <summary>What compiled code uses: the types in its signatures, and the members its instructions name.</summary>
internal static class Uses
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly FrozenDictionary<short, OpCode> OperationCodes = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!)
        .ToFrozenDictionary(code => code.Value);

    /// <summary>Every type that the type uses in any way, taken out of arrays, generics and references.</summary>
    public static IEnumerable<Type> TypesUsedBy(Type type)
    {
        IEnumerable<Type?> direct =
        [
            type.BaseType,
            .. type.GetInterfaces(),
            .. type.GetFields(Declared).Select(field => field.FieldType),
            .. Methods(type).SelectMany(method => method.GetParameters().Select(parameter => parameter.ParameterType)),
            .. type.GetMethods(Declared).Select(method => method.ReturnType),
            .. Methods(type).SelectMany(method => method.GetMethodBody()?.LocalVariables ?? []).Select(local => local.LocalType),
            .. MembersUsedBy(type).SelectMany(member => member is Type used ? [used] : GenericArguments(member).Append(member.DeclaringType)),
        ];
        return direct.OfType<Type>().SelectMany(Parts).Distinct();
    }

    /// <summary>Every type, method, constructor and field that the instructions of the type's methods name.</summary>
    public static IEnumerable<MemberInfo> MembersUsedBy(Type type) => Methods(type).SelectMany(MembersUsedBy);

    /// <summary>Takes compiler-made types (lambdas, iterators, async methods) as part of the type they were written in.</summary>
    public static Type Written(Type type)
    {
        while (type.IsNested && type.Name.StartsWith('<'))
            type = type.DeclaringType!;
        return type;
    }

    private static IEnumerable<MethodBase> Methods(Type type) => [.. type.GetMethods(Declared), .. type.GetConstructors(Declared)];

    private static IEnumerable<Type> GenericArguments(MemberInfo member) => member is MethodInfo { IsGenericMethod: true } method ? method.GetGenericArguments() : [];

    private static IEnumerable<Type> Parts(Type type)
    {
        if (type.HasElementType)
            return Parts(type.GetElementType()!);
        if (type.IsConstructedGenericType)
            return [type.GetGenericTypeDefinition(), .. type.GetGenericArguments().SelectMany(Parts)];
        return type.IsGenericParameter ? [] : [type];
    }

    private static IEnumerable<MemberInfo> MembersUsedBy(MethodBase method)
    {
        if (method.GetMethodBody()?.GetILAsByteArray() is not { } code)
            yield break;

        var typeArguments = method.DeclaringType is { IsGenericType: true } type ? type.GetGenericArguments() : null;
        var methodArguments = method.IsGenericMethod ? method.GetGenericArguments() : null;
        for (var at = 0; at < code.Length;)
        {
            var operation = code[at] == 0xFE ? OperationCodes[unchecked((short)(0xFE00 | code[at + 1]))] : OperationCodes[code[at]];
            at += operation.Size;
            if (operation.OperandType is OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType)
            {
                if (method.Module.ResolveMember(BitConverter.ToInt32(code, at), typeArguments, methodArguments) is { } member)
                    yield return member;
            }

            at += OperandSize(operation, code, at);
        }
    }

    private static int OperandSize(OpCode operation, byte[] code, int at) => operation.OperandType switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(code, at)),
        _ => 4,
    };
}
