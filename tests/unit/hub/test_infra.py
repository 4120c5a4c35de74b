"""The files of infra/rabbitmq are those that the code makes."""

import json
import re
from pathlib import Path

import pytest

from fedmq.hub.infra import infra_files, main

COMMITTED = Path(__file__).parents[3] / "infra" / "rabbitmq"


@pytest.mark.parametrize("name", sorted(infra_files()))
def test_what_is_committed_is_what_the_code_makes(name: str) -> None:
    """Where it is not: python -m fedmq.hub.infra."""
    assert (COMMITTED / name).read_text() == infra_files()[name]


def test_the_files_are_written_into_the_folder_that_is_named(tmp_path: Path) -> None:
    """The command of the README, elsewhere."""
    main([str(tmp_path / "new")])
    written = {path.name: path.read_text() for path in (tmp_path / "new").iterdir()}
    assert written == infra_files()


def test_asking_for_help_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option is no folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "folder" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_nobody_can_log_in_by_what_is_committed() -> None:
    """No user, no password, no hash; the compose file asks for both and has no default."""
    definitions = json.loads((COMMITTED / "definitions.json").read_text())
    assert (definitions["users"], definitions["permissions"]) == ([], [])
    compose = (COMMITTED / "compose.yaml").read_text()
    assert set(re.findall(r"_(?:USER|PASS): (.*)", compose)) == {
        "${RABBITMQ_DEFAULT_USER:?set it in hub.env}",
        "${RABBITMQ_DEFAULT_PASS:?set it in hub.env}",
    }
    example = (COMMITTED / "hub.env.example").read_text().splitlines()
    assert "RABBITMQ_DEFAULT_PASS=" in example
