"""Lines that are cut without a word, slow or lossy: rounds wait or go on, the models stay the same.

Real packets between hosts of their own; TCP, heartbeats and reconnecting are those of a hospital.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults.network.conftest import SIZE, run_undisturbed
from tests.support.federation import LYON, PARIS, Federation, until
from tests.support.hosts import Hosts

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.namespaces,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("lines"),
]
ORCHESTRATOR = "orchestrator"
BOTH = ("up", "down")
MODEL_BYTES = 4_400_000


@pytest.fixture(scope="module")
def undisturbed(distant: Federation) -> list[str]:
    """Return the digests of two rounds over perfect lines."""
    return run_undisturbed(distant, SIZE)


@pytest.fixture(autouse=True)
def healed(hosts: Hosts) -> Iterator[None]:
    """Leave every line perfect."""
    yield
    for host in (LYON, ORCHESTRATOR):
        hosts.heal(host)


@pytest.fixture
def held(distant: Federation, undisturbed: list[str]) -> Iterator[str]:
    """Return the same experiment again, held in Lyon's first training, with Paris's update in."""
    assert len(set(undisturbed)) == 2
    distant.hold(LYON, 1)
    config = f"{SIZE}\n{distant.hold_config}"
    identifier = distant.submit(distant.write_experiment(config=config, rounds=2))
    distant.reached(LYON, 1)
    distant.handed_over(PARIS, identifier, 1)
    yield identifier
    distant.release()


def links(federation: Federation, name: str) -> int:
    """Return how often a program has said that its way to the broker changed."""
    return federation.programs[name].log().count("broker_link_changed")


def wait_for_trouble(federation: Federation, name: str, before: int) -> str:
    """Return what a program says once its way to the broker is lost."""
    until(lambda: links(federation, name) > before, f"the trouble of {name}")
    return federation.programs[name].log().split("broker_link_changed")[before + 1].splitlines()[0]


@pytest.mark.row("5")
@pytest.mark.parametrize(
    "directions",
    [
        BOTH,
        pytest.param(("up",), marks=pytest.mark.long),
        pytest.param(("down",), marks=pytest.mark.long),
    ],
    ids=["both", "up", "down"],
)
def test_a_node_that_is_cut_off_trains_on_and_hands_over_afterwards(
    distant: Federation,
    hosts: Hosts,
    undisturbed: list[str],
    held: str,
    directions: tuple[str, ...],
    mended: Callable[[], None],
) -> None:
    """No end of the line hears of it; each finds out by silence, in one direction or in both."""
    before = links(distant, LYON)
    hosts.change(LYON, *directions, cut=True)
    distant.release()
    until(lambda: distant.status(LYON)["tasks_waiting"] == 0, "the end of training")
    assert "trouble=none" not in wait_for_trouble(distant, LYON, before)
    assert distant.status(LYON)["unsent"] > 0
    mended()
    hosts.heal(LYON)
    assert distant.digests(held) == undisturbed


@pytest.mark.row("5")
@pytest.mark.long
def test_an_orchestrator_that_is_cut_off_goes_on_with_its_round(
    distant: Federation, hosts: Hosts, undisturbed: list[str], held: str, mended: Callable[[], None]
) -> None:
    """What was sent meanwhile waits in its queue."""
    before = links(distant, ORCHESTRATOR)
    hosts.change(ORCHESTRATOR, cut=True)
    distant.release()
    assert "trouble=none" not in wait_for_trouble(distant, ORCHESTRATOR, before)
    until(lambda: distant.status(LYON)["tasks_waiting"] == 0, "the end of training")
    mended()
    hosts.heal(ORCHESTRATOR)
    assert distant.digests(held) == undisturbed


@pytest.mark.row("5")
@pytest.mark.long
def test_lines_that_come_and_go_hold_a_round_up_and_change_nothing(
    distant: Federation, hosts: Hosts, undisturbed: list[str], held: str, mended: Callable[[], None]
) -> None:
    """Ten times cut for a second or so, the two lines in turn, while models are on their way."""
    distant.release()
    for number in range(10):
        host = (LYON, ORCHESTRATOR)[number % 2]
        hosts.change(host, cut=True)
        end = time.monotonic() + 1.0 + 0.1 * number
        until(lambda end=end: time.monotonic() > end)  # type: ignore[misc]
        hosts.heal(host)
    mended()
    assert distant.digests(held) == undisturbed


@pytest.mark.row("6")
@pytest.mark.long
def test_half_a_second_of_delay_and_a_lost_packet_in_twenty_change_nothing(
    distant: Federation, hosts: Hosts, undisturbed: list[str], held: str, mended: Callable[[], None]
) -> None:
    """Slower, and nothing is sent that was not lost: no storm of questions."""
    began = hosts.change(LYON, delay_s=0.25, loss=0.05)
    mended()
    distant.release()
    before = links(distant, LYON)
    finish(distant, held)
    assert distant.digests(held) == undisturbed
    assert links(distant, LYON) == before, "no connection is taken for dead"
    assert hosts.change(LYON) - began < 1.5 * 5 * MODEL_BYTES


@pytest.mark.row("6")
@pytest.mark.long
def test_on_a_line_of_a_megabit_a_model_is_sent_once(
    distant: Federation, hosts: Hosts, undisturbed: list[str], held: str, mended: Callable[[], None]
) -> None:
    """A chunk takes longer than the fetcher's first patience: it learns, and asks little."""
    began = hosts.change(LYON, rate=125_000.0)
    mended()
    distant.release()
    before = links(distant, LYON)
    finish(distant, held)
    assert distant.digests(held) == undisturbed
    assert links(distant, LYON) == before, "no connection is taken for dead"
    assert hosts.change(LYON) - began < 1.3 * 5 * MODEL_BYTES


def finish(federation: Federation, identifier: str) -> None:
    """Return once an experiment is over, however slow the line; the test's time-out is the end."""
    orchestrator = federation.programs[ORCHESTRATOR]
    while f"experiment_over          experiment={identifier}" not in orchestrator.log():
        assert orchestrator.is_running
        time.sleep(0.2)
