"""The command line in this process: what is typed, what comes of it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.cli.main import main
from fedmq.hub.credentials import Credentials, write_credentials
from fedmq.types import Role
from tests.support.keys import Keys
from tests.unit.cli.line import CommandLine, Outcome


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of the commands, which is the folder that they run in."""
    for name in ("FEDMQ_CREDENTIALS", "FEDMQ_BROKER_URL", "FEDMQ_BROKER_ADMIN_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FEDMQ_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fedmq(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    """Return the command line, in a home of its own."""
    assert home.is_dir()

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fedmq", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Outcome(code=code or 0, data=said.out, talk=said.err)

    return run


@pytest.fixture
def credentials(home: Path) -> Callable[..., Path]:
    """Return what writes a member's file, as the hub does."""

    def write(
        name: str, role: Role, path: Path | None = None, admin_url: str = "http://127.0.0.1:1"
    ) -> Path:
        path = path or home / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        keys = Keys({name: role})
        keys.write_keyring(path.with_suffix(".keys"), keys.identities[name])
        login = Credentials(
            url="amqp://127.0.0.1:1/nowhere",
            user=name,
            password="s3cret",  # noqa: S106 - invented
            role=role,
            admin_url=admin_url,
            identity=path.with_suffix(".keys").name,
        )
        write_credentials(path, login)
        return path

    return write
