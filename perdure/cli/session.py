"""What every verb is given: the server to talk to, and how to print what it answers.

JSON on stdout is proto JSON with the proto's field names; fields at their default are printed too,
so that a script can rely on a key being there. Tables are for people and promise nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from perdure.cli.table import write_fields, write_table
from perdure.client import Client
from perdure.steps import Call

T = TypeVar("T")


class OutputFormat(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


@dataclass
class Session:
    """One run of the command."""

    target: str
    output: OutputFormat

    @property
    def is_json(self) -> bool:
        """Return whether stdout is for a program."""
        return self.output is OutputFormat.JSON

    def client(self) -> Client:
        """Return a new client of the target; use it in a `with`."""
        return Client(self.target)

    def run(self, call: Call[T]) -> T:
        """Run one verb against the target."""
        with self.client() as client:
            return client.run(call)

    def print_json(self, document: Any) -> None:
        """Print one document, whole, to stdout."""
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def print_message(self, message: Message) -> None:
        """Print a resource as JSON."""
        self.print_json(to_document(message))

    def print_list(self, key: str, messages: Iterable[Message]) -> None:
        """Print a list of resources as `{key: [...]}`; an empty list is there, and empty."""
        self.print_json({key: [to_document(message) for message in messages]})

    def print_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print rows under columns, for a person."""
        write_table(sys.stdout, columns, rows)

    def print_fields(self, fields: Iterable[tuple[str, str]]) -> None:
        """Print one resource as `name  value` lines, for a person; empty values are left out."""
        write_fields(sys.stdout, fields)

    def say(self, text: str) -> None:
        """Print a line for a person: to stdout with tables, nothing with JSON."""
        if not self.is_json:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def to_document(message: Message) -> dict[str, Any]:
    """Return a message as proto JSON with the proto's field names."""
    document: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


def session_of(context: typer.Context) -> Session:
    """Return the session that the root command made."""
    session = context.find_object(Session)
    if session is None:
        raise RuntimeError("the root command did not make a session")
    return session
