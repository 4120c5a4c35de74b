"""Commands that tests fork: as if each had been begun by itself."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.federation import FEDMQ, environment
from tests.support.forked import run_alone, run_forked

PATIENCE_S = 60.0


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("hub", "status", "--json"), ("node", "status"), ("node", "stats")],
)
def test_a_forked_command_says_and_ends_as_one_that_is_begun_by_itself(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """What it prints, where, and its exit code, whether it goes well, is refused or misspelt."""
    seen = environment(tmp_path)
    forked = run_forked(arguments, folder=tmp_path, environment=seen, patience_s=PATIENCE_S)
    alone = run_alone(
        [*FEDMQ, *arguments], folder=tmp_path, environment=seen, patience_s=PATIENCE_S
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        alone.returncode,
        alone.stdout,
        alone.stderr,
    )


def test_commands_of_several_threads_each_have_their_own_home(tmp_path: Path) -> None:
    """And their own answer."""

    def status(number: int) -> str:
        home = tmp_path / str(number)
        home.mkdir()
        seen = environment(home)
        asked = ("node", "status")
        ended = run_forked(asked, folder=home, environment=seen, patience_s=PATIENCE_S)
        return ended.stderr

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(status, range(8)))
    assert all(f"{tmp_path / str(number)}/node " in one for number, one in enumerate(said))


def test_who_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    """It is killed, as `subprocess.run` does."""
    with pytest.raises(TimeoutError):
        run_forked(
            ("--version",), folder=tmp_path, environment=environment(tmp_path), patience_s=0.001
        )
