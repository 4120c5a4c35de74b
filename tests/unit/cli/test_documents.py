"""Documents: the one shape of what `--json` prints."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from fedmq.cli.documents import SCHEMA_VERSION, make_document
from fedmq.hub.credentials import Credentials
from fedmq.messages.notices import ExperimentOverview
from fedmq.types import Role


class Colour(StrEnum):
    """A word of a fixed vocabulary."""

    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A record in a record."""

    colour: Colour
    place: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A record."""

    parts: tuple[Part, ...]
    names: frozenset[str]
    at: float | None
    secret: str = field(repr=False)


def test_a_record_is_told_by_its_fields_and_begins_with_the_version() -> None:
    """All kinds of content, as JSON reads them back; what is kept out of repr is kept out."""
    part = Part(colour=Colour.RED, place=Path("demo/hub"))
    whole = Whole(parts=(part,), names=frozenset({"a"}), at=None, secret="s3cret")  # noqa: S106
    document = make_document(whole)
    assert json.loads(json.dumps(document)) == {
        "schema_version": SCHEMA_VERSION,
        "parts": [{"colour": "red", "place": "demo/hub"}],
        "names": ["a"],
        "at": None,
    }
    assert next(iter(document)) == "schema_version"


def test_a_message_is_told_by_its_fields() -> None:
    """As it travels."""
    overview = ExperimentOverview(
        experiment="lung-1", state="training", round=1, num_rounds=2, reason=""
    )
    document = make_document({"experiments": [overview]})
    assert document["experiments"] == [overview.model_dump(mode="json")]


def test_credentials_are_told_without_their_password() -> None:
    """Whoever shows a record with a secret shows it without."""
    login = Credentials(url="amqp://h/v", user="u", password="s3cret", role=Role.NODE)  # noqa: S106
    assert "s3cret" not in json.dumps(make_document(login))


@pytest.mark.parametrize("content", [[1, 2], "text", 3, b"bytes", {"a": b"bytes"}, {"a": object()}])
def test_what_has_no_names_or_no_words_is_no_document(content: object) -> None:
    """A list stands in a document under a name: another name can join it later."""
    with pytest.raises(TypeError, match="document"):
        make_document(content)
