"""The committed Go stubs of the example speak the wire contract that the Python stubs speak.

Each Go file carries the description of its .proto as a string; it is compared with the one in the
Python stub, which `proto/generate.py --check` holds to the .proto. Not here: comments, and how the
plugins write Go. Generating again to compare would need Go's modules from the network.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

GO = Path(__file__).resolve().parents[2] / "examples" / "go"
_SOURCE = re.compile(r"^// source: (\S+)\.proto$", re.MULTILINE)
_DESCRIPTION = re.compile(r'_rawDesc = ""((?: \+\n\t"(?:[^"\\]|\\.)*")+)')
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')
_STUBS = sorted(
    str(path.relative_to(GO)) for path in GO.rglob("*.pb.go") if "_grpc" not in path.name
)


def _described(text: str) -> bytes:
    """Return the description in a Go file; its escapes are Python's."""
    found = _DESCRIPTION.search(text)
    assert found is not None, "no description: does the plugin write it another way now?"
    return b"".join(ast.literal_eval(f"b{part}") for part in _LITERAL.findall(found[1]))


def _without_json_names(description: bytes) -> descriptor_pb2.FileDescriptorProto:
    """Parse; JSON names follow from the names, and only Go's description has them."""
    file = descriptor_pb2.FileDescriptorProto.FromString(description)
    stack: list[Message] = [file]
    while stack:
        message = stack.pop()
        if isinstance(message, descriptor_pb2.FieldDescriptorProto):
            message.ClearField("json_name")
        elif isinstance(message, descriptor_pb2.FileDescriptorProto):
            stack += [*message.message_type, *message.extension]
        elif isinstance(message, descriptor_pb2.DescriptorProto):
            stack += [*message.nested_type, *message.field, *message.extension]
    return file


def _differ(go: str, python: bytes) -> bool:
    return _without_json_names(_described(go)) != _without_json_names(python)


def _python_of(go: str) -> bytes:
    source = _SOURCE.search(go)
    assert source is not None
    module = importlib.import_module(source[1].replace("/", ".") + "_pb2")
    description: bytes = module.DESCRIPTOR.serialized_pb
    return description


@pytest.mark.parametrize("name", _STUBS)
def test_go_stub_is_of_the_contract_as_it_is(name: str) -> None:
    go = (GO / name).read_text()
    assert not _differ(go, _python_of(go)), "another contract: run `make proto`"


def test_a_stub_of_another_contract_is_found() -> None:
    """The canary: one field's name changed."""
    go = (GO / "perdure/data/v1/value.pb.go").read_text()
    description = descriptor_pb2.FileDescriptorProto.FromString(_python_of(go))
    description.message_type[0].field[0].name = "words"
    assert _differ(go, description.SerializeToString())
