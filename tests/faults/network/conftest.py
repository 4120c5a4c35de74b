"""Federations that the tests of faults share: one with a private hub, one with lines to rule."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.conftest import pytest_runtest_makereport  # noqa: F401 - a hook
from tests.support.federation import LYON, PARIS, Federation, running_federation
from tests.support.hosts import Hosts, made_hosts

SIZE: Final = "size = 1_100_000"
"""Four megabytes: three chunks."""
HEARTBEAT: Final = {"FEDMQ_HEARTBEAT_S": "2"}


def run_undisturbed(federation: Federation, config: str, *, rounds: int = 2) -> list[str]:
    """Return the digest of each round's model where nothing happens."""
    experiment = federation.write_experiment(config=config, rounds=rounds)
    identifier = federation.submit(experiment)
    federation.approve(LYON, PARIS)
    return federation.digests(identifier)


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Return a federation with a private hub, whose broker may be ill."""
    with running_federation(tmp_path_factory.mktemp("faults") / "f", None) as running:
        yield running


@pytest.fixture(scope="session")
def undisturbed(federation: Federation) -> list[str]:
    """Return the digests of two rounds without a fault."""
    return run_undisturbed(federation, SIZE)


@pytest.fixture
def held(federation: Federation, undisturbed: list[str]) -> Iterator[str]:
    """Return the same experiment again, held in Lyon's first training."""
    assert len(set(undisturbed)) == 2
    federation.hold(LYON, 1)
    config = f"{SIZE}\n{federation.hold_config}"
    identifier = federation.submit(federation.write_experiment(config=config, rounds=2))
    federation.reached(LYON, 1)
    yield identifier
    federation.release()


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    """Return a host for a node and one for the orchestrator."""
    with made_hosts(LYON, "orchestrator") as made:
        yield made


@pytest.fixture(scope="session")
def distant(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Return a federation in which a node and the orchestrator have a line to the hub each."""
    folder = tmp_path_factory.mktemp("lines") / "f"
    with running_federation(folder, None, hosts=hosts, settings=HEARTBEAT) as running:
        yield running
