"""The form in which CEL hands out a parsed expression: the messages of `cel.expr` that conditions are made of.

Only the fields that are read are declared, by the numbers of cel-spec's `syntax.proto`; whatever else an expression
holds (a field of a message, a map, a comprehension) then has no kind, and is refused as not part of the language.
"""

from functools import cache
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]  # no stubs locked
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

Field = descriptor_pb2.FieldDescriptorProto
MESSAGES: dict[str, dict[str, tuple[int, Any, str]]] = {
    "Parsed": {"expr": (2, Field.TYPE_MESSAGE, "Expr")},
    "Expr": {
        "const_expr": (3, Field.TYPE_MESSAGE, "Constant"),
        "ident_expr": (4, Field.TYPE_MESSAGE, "Ident"),
        "call_expr": (6, Field.TYPE_MESSAGE, "Call"),
        "list_expr": (7, Field.TYPE_MESSAGE, "CreateList"),
    },
    "Ident": {"name": (1, Field.TYPE_STRING, "")},
    "Call": {
        "target": (1, Field.TYPE_MESSAGE, "Expr"),
        "function": (2, Field.TYPE_STRING, ""),
        "args": (3, Field.TYPE_MESSAGE, "Expr"),
    },
    "CreateList": {"elements": (1, Field.TYPE_MESSAGE, "Expr")},
    "Constant": {
        "bool_value": (2, Field.TYPE_BOOL, ""),
        "int64_value": (3, Field.TYPE_INT64, ""),
        "double_value": (5, Field.TYPE_DOUBLE, ""),
        "string_value": (6, Field.TYPE_STRING, ""),
    },
}
"""Message to its fields: number, type, and the message's name where it is one."""
REPEATED = {("Call", "args"), ("CreateList", "elements")}
CHOICES = {"Expr": "expr_kind", "Constant": "constant_kind"}
"""Messages that hold exactly one of their fields."""
PACKAGE = "lakehouse.cel"


def unpack(serialized: bytes) -> Any:
    """Return the `Expr` in what `Expression.serialize` gave."""
    wrapped = any_pb2.Any.FromString(serialized)
    return _parsed()().FromString(wrapped.value).expr


@cache
def _parsed() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="cel_syntax.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in CHOICES:
            message.oneof_decl.add(name=CHOICES[name])
        for field, (number, kind, of) in fields.items():
            label = Field.LABEL_REPEATED if (name, field) in REPEATED else Field.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, type=kind, label=label)
            if of:
                made.type_name = f".{PACKAGE}.{of}"
            if name in CHOICES:
                made.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.Parsed"))
