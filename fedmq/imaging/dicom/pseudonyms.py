"""Pseudonyms: who is whom, known at the site alone.

A patient's pseudonym is a keyed hash of the PatientID with a secret that is made once and never
shown: whoever guesses ids cannot test the guess, and the same patient has the same name in every
import of this node. The table that links both stays beside the secret.
"""

import csv
import hashlib
import hmac
import io
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

from fedmq.disk import LocalDisk
from fedmq.errors import StorageError

SECRET_FILE: Final = "import.secret"  # noqa: S105 - the file's name
LINKS_FILE: Final = "links.csv"
_SECRET_BYTES: Final = 32
_HEX_DIGITS: Final = 12
_PREFIX: Final = "pt-"
"""Spreadsheets make numbers of names such as 123e45678901."""


def read_secret(disk: LocalDisk) -> bytes:
    """Return the site's secret; the first time it is made, readable for its owner alone.

    Raises:
        StorageError: it cannot be read or written, or is none.
    """
    size = disk.size_bytes(SECRET_FILE)
    if size is None:
        secret = secrets.token_bytes(_SECRET_BYTES)
        replace(disk, SECRET_FILE, secret.hex())
        return secret
    try:
        secret = bytes.fromhex(disk.read(SECRET_FILE, 0, size).decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != _SECRET_BYTES:
        raise StorageError(
            f"{SECRET_FILE} holds no secret",
            why="somebody changed it: with another one every patient would get another name",
            fix="put it back from a copy",
        )
    return secret


def sign(secret: bytes, purpose: str, content: str) -> str:
    """Return the keyed hash (HMAC-SHA256) of a text, in hex; purposes do not mix."""
    return hmac.new(secret, f"{purpose}\0{content}".encode(), hashlib.sha256).hexdigest()


def pseudonym(secret: bytes, patient_id: str) -> str:
    """Return the name of a patient outside of the archive."""
    return _PREFIX + sign(secret, "patient", patient_id)[:_HEX_DIGITS]


def read_links(disk: LocalDisk) -> dict[str, str]:
    """Return pseudonym -> PatientID of everybody who was imported before."""
    size = disk.size_bytes(LINKS_FILE)
    if size is None:
        return {}
    rows = csv.reader(io.StringIO(disk.read(LINKS_FILE, 0, size).decode(), newline=""))
    return {row[0]: row[1] for row in rows if len(row) == 2 and row[0].startswith(_PREFIX)}  # noqa: PLR2004 - both


def add_links(disk: LocalDisk, links: Mapping[str, str]) -> None:
    """The table of links has these too."""
    known = read_links(disk)
    if not links.items() <= known.items():
        rows = sorted({**known, **links}.items())
        replace(disk, LINKS_FILE, table([("pseudonym", "patient_id"), *rows]))


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return the text of a table."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def replace(disk: LocalDisk, name: str, content: str) -> None:
    """A file holds this after a crash too, or what it held before; only its owner reads it."""
    passing = f".{name}.new"
    disk.remove(passing)
    # Names of files are whatever bytes the archive chose.
    disk.write(passing, 0, content.encode(errors="backslashreplace"))
    disk.sync(passing)
    disk.rename(passing, name)
    disk.sync_names()
