"""Credentials: what the hub writes is what a member's program reads, and nobody else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError
from fedmq.hub.credentials import Credentials, read_credentials, write_credentials
from fedmq.types import Role

WORD = "s3cret"
NODE = Credentials(
    url="amqp://127.0.0.1:5672/fedmq", user="chu-lyon", password=WORD, role=Role.NODE
)


@given(
    password=st.text(st.characters(codec="utf-8")),
    admin_url=st.sampled_from(["", "http://127.0.0.1:15672"]),
    role=st.sampled_from(Role),
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, password: str, admin_url: str, role: Role
) -> None:
    """Whatever characters a password has."""
    path = tmp_path_factory.mktemp("hub") / "c.toml"
    written = Credentials(
        url=NODE.url, user="r-one", password=password or "-", role=role, admin_url=admin_url
    )
    write_credentials(path, written)
    assert read_credentials(path) == written


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    """It is written so, and refused otherwise, with the command that mends it."""
    path = tmp_path / "c.toml"
    write_credentials(path, NODE)
    assert path.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigurationError) as caught:
            read_credentials(path)
        assert caught.value.fix == f"chmod 600 {path}"


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    """It says which file, and who has it."""
    with pytest.raises(ConfigurationError, match=r"c\.toml cannot be read.*hub's operator"):
        read_credentials(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("url = ", "it is no TOML"),
        ('url = "amqp://h/v"\nrole = "node"\n', "user: Field required"),
        ('url = "u"\nuser = "a"\npassword = "p"\nrole = "king"\n', "role: "),
        ('url = "u"\nuser = "a"\npassword = "p"\nrole = "node"\ncolour = "red"\n', "colour: "),
        ('url = "u"\nuser = "a"\npassword = ["hidden"]\nrole = "node"\n', "password: "),
    ],
)
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, text: str, why: str) -> None:
    """It names the field, and never shows a value, which may be the password."""
    path = tmp_path / "c.toml"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as caught:
        read_credentials(path)
    assert why in caught.value.why
    assert "hidden" not in str(caught.value)


def test_a_password_is_not_in_what_is_printed() -> None:
    """Credentials end in logs and tracebacks."""
    assert WORD not in repr(NODE)


@pytest.mark.parametrize("expected", [role for role in Role if role is not Role.NODE])
def test_the_file_of_a_member_with_another_role_is_refused(tmp_path: Path, expected: Role) -> None:
    """One error says what was expected, what came, and where the right file is."""
    path = tmp_path / "c.toml"
    write_credentials(path, NODE)
    with pytest.raises(ConfigurationError) as caught:
        read_credentials(path, expected)
    assert caught.value.what in {
        f"the credentials of chu-lyon are not {article} {expected}'s" for article in ("a", "an")
    }
    assert caught.value.why == f"expected: role {expected}; got: role node"
    assert expected in caught.value.fix
    assert read_credentials(path, Role.NODE) == NODE
