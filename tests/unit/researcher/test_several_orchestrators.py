"""A researcher in a federation with several orchestrators."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, TransportError
from fedmq.researcher.client import Client
from tests.unit.researcher.federation import ANNA, SETTLES_S, Federation, experiment

BOTH = ("hub-a", "hub-b")


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Return a federation with two orchestrators, neither of which is there yet."""
    with Federation(tmp_path, BOTH) as made:
        yield made


def leader(client: Client, identifier: str) -> str | None:
    """Return who leads an experiment, as far as this home knows."""
    return client._session.leader(identifier)


def test_each_submission_is_led_by_one_and_they_share_them(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever leads fewer gets the next; each experiment is at one of them alone."""
    # Both answer: on a machine that is busy that may take longer than people would wait.
    monkeypatch.setattr("fedmq.researcher.client.CHOOSE_S", SETTLES_S)
    for name in BOTH:
        federation.start_orchestrator(name)
    client = federation.client()
    runs = [client.submit(experiment()) for _ in range(6)]
    led = {name: [run.id for run in runs if leader(client, run.id) == name] for name in BOTH}
    assert [len(ids) for ids in led.values()] == [3, 3]
    for name in BOTH:
        kept = federation.folder / name / "experiments"
        assert sorted(path.name for path in kept.iterdir()) == sorted(led[name])
    found = client.experiments()
    assert [one.experiment for one in found] == [*led["hub-a"], *led["hub-b"]]
    assert found.silent == ()


def test_a_researcher_may_name_who_leads(federation: Federation) -> None:
    """One that leads more already too; none that is not in the federation."""
    for name in BOTH:
        federation.start_orchestrator(name)
    client = federation.client()
    runs = [client.submit(experiment(), orchestrator="hub-b") for _ in range(2)]
    assert [leader(client, run.id) for run in runs] == ["hub-b"] * 2
    with pytest.raises(ConfigurationError) as caught:
        client.submit(experiment(), orchestrator="hub-c")
    assert "no orchestrator of this federation" in caught.value.why
    assert "hub-a, hub-b" in caught.value.fix


def test_who_is_away_gets_nothing_new_and_is_named_where_something_is_missing(
    federation: Federation,
) -> None:
    """What it leads goes on to be its own; lists say that it may have more."""
    federation.start_orchestrator("hub-a")
    federation.start_orchestrator("hub-b")
    client = federation.client(timeout_s=2.0)
    away = client.submit(experiment(), orchestrator="hub-b")
    federation.stop_orchestrator("hub-b")
    there = client.submit(experiment())
    assert leader(client, there.id) == "hub-a"
    found = client.experiments()
    assert ([one.experiment for one in found], found.silent) == ([there.id], ("hub-b",))
    assert "without those that hub-b may lead" in str(found)
    assert "without those that hub-b may lead" in found._repr_html_()
    with pytest.raises(TransportError, match="no answer from hub-b") as caught:
        away.report()
    assert "it is not running" in caught.value.why
    federation.start_orchestrator("hub-b")
    assert away.report().state == "preparing"


def test_who_has_an_answer_looks_no_longer_why_others_are_silent(federation: Federation) -> None:
    """Choosing takes as long as orchestrators have to answer, and not what counting takes too."""
    federation.start_orchestrator("hub-a")
    client = federation.client(timeout_s=2.0)
    assert leader(client, client.submit(experiment()).id) == "hub-a"
    assert client.experiments().silent == ("hub-b",)
    assert federation.counted(ANNA) == []


def test_another_home_finds_an_experiment_at_whoever_leads_it(federation: Federation) -> None:
    """It asks all of them; one that is away may be the one."""
    for name in BOTH:
        federation.start_orchestrator(name)
    with federation.client() as first:
        run = first.submit(experiment(), orchestrator="hub-b")
    other = federation.client("another", timeout_s=2.0)
    assert leader(other, run.id) is None
    assert other.experiment(run.id).report().experiment == run.id
    assert leader(other, run.id) == "hub-b"
    with pytest.raises(ConfigurationError, match="you have no experiment lung-000000"):
        other.experiment("lung-000000")
    federation.stop_orchestrator("hub-a")
    with pytest.raises(TransportError, match="no answer from hub-a") as caught:
        other.experiment("lung-000000")
    assert "nobody else leads lung-000000" in caught.value.why


def test_another_home_believes_nobody_who_shows_no_order_that_names_them(
    federation: Federation,
) -> None:
    """One that took the store of the other has its order, and answers first; it names the other."""
    federation.start_orchestrator("hub-b")
    with federation.client() as first:
        run = first.submit(experiment(), orchestrator="hub-b")
    federation.stop_orchestrator("hub-b")
    shutil.copytree(federation.folder / "hub-b", federation.folder / "hub-a")
    federation.start_orchestrator("hub-a")
    other = federation.client("another", timeout_s=2.0)
    with pytest.raises(TransportError, match="no answer from hub-b"):
        other.experiment(run.id)
    assert leader(other, run.id) is None
    federation.start_orchestrator("hub-b")
    assert other.experiment(run.id).report().state == "preparing"
    assert leader(other, run.id) == "hub-b"


def test_who_alone_says_that_it_leads_and_cannot_show_it_is_named(federation: Federation) -> None:
    """The one that was ordered to has lost its store; neither is believed to lead."""
    federation.start_orchestrator("hub-b")
    with federation.client() as first:
        run = first.submit(experiment(), orchestrator="hub-b")
    federation.stop_orchestrator("hub-b")
    shutil.move(federation.folder / "hub-b", federation.folder / "hub-a")
    for name in BOTH:
        federation.start_orchestrator(name)
    other = federation.client("another")
    with pytest.raises(TransportError, match="hub-a does not show that it leads") as caught:
        other.experiment(run.id)
    assert "no order of yours" in caught.value.why
    assert leader(other, run.id) is None


def test_a_submission_waits_for_one_where_none_is_there(federation: Federation) -> None:
    """Which one is settled; it is run when that one comes."""
    client = federation.client(timeout_s=0.3)
    with pytest.raises(TransportError, match=r"waits as lung-[0-9a-f]{6}") as caught:
        client.submit(experiment())
    identifier = caught.value.fix.partition("waits as ")[2].partition(",")[0]
    chosen = leader(client, identifier)
    assert chosen in BOTH
    assert f"no answer from {chosen}" in caught.value.what
    assert f"is run when the orchestrator {chosen} is there" in caught.value.fix
