"""What people do wrong: told what, why and how to mend it; services live on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pika
import pytest

from fedmq.hub.credentials import read_credentials, write_credentials
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume, load_volume, save_volume
from fedmq.messages.codec import MAX_MESSAGE_BYTES
from fedmq.transport import topology
from fedmq.types import NodeId
from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    Program,
    until,
)
from tests.support.keys import move_in
from tests.support.members import connection, login_at

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("federation")]

NOBODY = "amqp://127.0.0.1:1/nowhere"


@pytest.fixture(autouse=True)
def services_live_on(federation: Federation) -> Iterator[None]:
    """Whatever a test does, the same three programs run after it."""
    names = ("orchestrator", LYON, PARIS)
    before = [federation.programs[name].pid for name in names]
    yield
    assert [federation.programs[name].pid for name in names] == before
    assert all(federation.programs[name].is_running for name in names)


def test_bad_cases_are_named_when_a_dataset_is_added(federation: Federation) -> None:
    """Missing CT, a file cut in two, an affine of another place; the sound case is counted."""
    folder = federation.folder / "damaged"
    write_cohort(SITES[LYON], folder, num_cases=4)
    sound, no_ct, corrupt, misplaced = sorted(place for place in folder.iterdir() if place.is_dir())
    (no_ct / "CT.nii.gz").unlink()
    pet = corrupt / "PET.nii.gz"
    pet.write_bytes(pet.read_bytes()[: pet.stat().st_size // 2])
    ct = load_volume(misplaced / "CT.nii.gz")
    affine = ct.affine.copy()
    affine[:3, 3] += 5_000
    (misplaced / "CT.nii.gz").unlink()
    save_volume(Volume(array=ct.array, affine=affine), misplaced / "CT.nii.gz")

    added = federation.do(LYON, "node", "data", "add", "damaged", str(folder))
    lines = added.data.splitlines()
    found = [line.split(": ")[:2] for line in lines[:2]]
    assert found == [[corrupt.name, "corrupt_file"], [misplaced.name, "wrong_affine"]]
    # What a case lacks is a plan's to judge: it is told, and no fault.
    assert lines[2] == "damaged: 4 cases, 2 without a finding"
    lacks, unfit = lines[3].split("; ")
    assert lacks.split() == ["CT", "3", "not", "of", no_ct.name]
    assert unfit == f"1 of these is not used: {misplaced.name}"
    assert sound.name not in added.data
    assert federation.fedmq(LYON, "node", "data", "check", "damaged").code == 1
    federation.do(LYON, "node", "data", "remove", "damaged")


def run_to_end(federation: Federation, experiment: Path) -> Program:
    """Return `fedmq run` once it has ended."""
    run = federation.start("run", RESEARCHER, "run", str(experiment))
    federation.approve(LYON, PARIS)
    run.wait()
    return run


def test_an_update_that_is_not_finite_fails_the_experiment_and_nothing_else(
    federation: Federation,
) -> None:
    """The node says so by a code; the next experiment runs."""
    run = run_to_end(federation, federation.write_experiment(config="nan_round = 2"))
    assert run.wait() == 3, "one round was closed: finished short"
    assert "failed: round 2, training: 0 of 2; 2 are needed" in run.log()
    assert " failed: update_not_finite" in run.log()  # the quorum is lost with the first
    again = federation.submit(federation.write_experiment(rounds=1))
    assert len(federation.digests(again)) == 1


def test_a_dataset_that_nodes_do_not_have_is_refused(federation: Federation) -> None:
    """The reason names the nodes and the code."""
    experiment = federation.write_experiment(dataset="nobodys")
    run = federation.start("run", RESEARCHER, "run", str(experiment))
    assert run.wait() == 1
    assert ": unknown_dataset" in run.log()
    assert " failed: 0 of at least 2 nodes take part" in run.log()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rounds", "rouns", ("has no key 'rouns'", "rounds", "mend the name")),
        ("rounds = 3", 'rounds = "3"', ("rounds cannot be used", "a whole number", "'3'")),
        ('dataset = "tables"', "", ("lacks dataset", "add it under [experiment]")),
        ("quorum = 2", "quorum = 3", ("quorum", "at most the 2 nodes named", "3")),
        ("plan.py", "petct-survial", ("no plan 'petct-survial'", "petct-survival", "choose one")),
        ("[config]", "[config]\nsise = 3", ("no setting 'sise'", "size", "mend the name")),
        ("[experiment]", "[experiment", ("is no TOML", "line 1", "mend the line")),
    ],
)
def test_a_faulty_experiment_file_is_refused_before_anything_is_sent(
    federation: Federation, old: str, new: str, words: tuple[str, ...]
) -> None:
    """What is wrong, why, and how to mend it; exit code 1."""
    experiment = federation.write_experiment()
    experiment.write_text(experiment.read_text().replace(old, new, 1))
    outcome = federation.fedmq(RESEARCHER, "run", str(experiment))
    assert (outcome.code, outcome.data) == (1, "")
    assert "leads" not in outcome.talk
    for label in ("error: ", "  why: ", "  fix: "):
        assert label in outcome.talk
    for word in words:
        assert word in outcome.talk


def credentials(federation: Federation, name: str, **changes: str) -> str:
    """Return a file with the changed credentials of a member."""
    path = federation.credentials(name).with_name(f"changed-{name}.toml")  # the keys lie there
    write_credentials(path, replace(read_credentials(federation.credentials(name)), **changes))
    return str(path)


def services_elsewhere(federation: Federation, home: str, **changes: str) -> list[Program]:
    """Return a node and an orchestrator with changed credentials, in a home of their own."""
    login = Path(credentials(federation, LYON, **changes))
    move_in(login, federation.node_credentials(home))
    leader = credentials(federation, "orchestrator", **changes)
    return [
        federation.start(f"{home} node", home, "node", "start"),
        federation.start(
            f"{home} orchestrator", home, "orchestrator", "start", "--credentials", leader
        ),
    ]


def test_a_wrong_password_is_said_by_everybody_who_has_one(federation: Federation) -> None:
    """Services say so and try on, for the hub may come to know them; commands are refused (4)."""
    services = services_elsewhere(federation, "wrong", password="wrong")  # noqa: S106 - it is wrong
    for service in services:
        service.expect("the broker refuses the user, its password or the vhost")
        service.expect("put the credentials that the hub wrote last in place")
        service.expect("[warning")
    login = credentials(federation, RESEARCHER, password="wrong")  # noqa: S106 - it is wrong
    asked = federation.fedmq("wrong", "experiments", "list", "--credentials", login)
    assert asked.code == 4
    assert f"the broker refuses {RESEARCHER}" in asked.talk
    assert "password" in asked.talk
    assert "fix: use the credentials" in asked.talk
    login = credentials(federation, "monitor", password="wrong")  # noqa: S106 - it is wrong
    for command, who in (("status", "the broker's management"), ("dead", "the broker")):
        looked = federation.fedmq("wrong", command, "--credentials", login)
        assert looked.code == 4
        assert f"{who} refuses user monitor" in looked.talk
    for service in services:
        assert service.end() == 0, "it has tried on, and ends in order"


def test_a_dead_broker_is_said_by_everybody_who_needs_it(federation: Federation) -> None:
    """Services wait for it; commands end with an error."""
    services = services_elsewhere(federation, "dead", url=NOBODY)
    for service in services:
        service.expect("nobody answers at the broker's address: Connection refused")
    login = credentials(federation, RESEARCHER, url=NOBODY)
    asked = federation.fedmq("dead", "experiments", "list", "--credentials", login)
    assert asked.code == 1
    assert "error: no broker answers" in asked.talk
    assert "why: nobody answers at the broker's address: Connection refused" in asked.talk
    assert "fedmq hub status" in asked.talk
    login = credentials(federation, "monitor", admin_url="http://127.0.0.1:1")
    looked = federation.fedmq("dead", "status", "--credentials", login)
    assert looked.code == 1
    assert "does not answer at http://127.0.0.1:1" in looked.talk
    login = credentials(federation, "monitor", url=NOBODY)
    looked = federation.fedmq("dead", "dead", "--credentials", login)
    assert looked.code == 1
    assert "error: no broker answers" in looked.talk
    for service in services:
        assert service.end() == 0


def test_what_is_no_node_is_not_started(federation: Federation) -> None:
    """The fix is the command that makes it one."""
    outcome = federation.fedmq("nobodys-home", "node", "start")
    assert outcome.code == 1
    assert "this machine is no node yet" in outcome.talk
    assert "fix: fedmq node join TOKEN" in outcome.talk


def test_garbage_in_a_nodes_queue_becomes_dead_letters_with_a_reason(
    federation: Federation,
) -> None:
    """`fedmq dead` shows where and whose; `fedmq node status` says why; the node works on."""
    before = federation.status(LYON)["rejected"]
    assert not before, "honest programs alone were at work"
    bare = connection(login_at(federation.credentials("orchestrator")))
    channel = bare.channel()
    properties = pika.BasicProperties(user_id="orchestrator", type="garbage")
    for body in (b"\xc1 no message", bytes(MAX_MESSAGE_BYTES + 1)):
        channel.basic_publish(
            topology.TASKS, topology.key(LYON, topology.Lane.CONTROL), body, properties
        )
    bare.close()

    def rejected() -> dict[str, int] | None:
        counts: dict[str, int] = federation.status(LYON)["rejected"]
        return counts if sum(counts.values()) >= 2 else None

    assert until(rejected, "the reasons").pop("too_large") == 1
    shown = federation.do(LYON, "node", "status").data
    assert "turned away       1 x not_an_envelope" in shown or "1 x not_msgpack" in shown
    assert "turned away       1 x too_large" in shown

    letters = until(
        lambda: [
            letter
            for letter in federation.do(CENTRE, "dead", "--json").json["letters"]
            if letter["type"] == "garbage"
        ],
        "the dead letters",
    )
    assert sorted(letter["size_bytes"] for letter in letters) == [12, MAX_MESSAGE_BYTES + 1]
    for letter in letters:
        assert letter["queue"] == topology.node_tasks(NodeId(LYON))
        assert (letter["user"], letter["reason"]) == ("orchestrator", "rejected")
    assert federation.do(CENTRE, "dead", "--hours", "1").data.count("garbage") == 2
    nodes = federation.do(CENTRE, "status", "--json").json["nodes"]
    assert {node["node"]: node["dead"] for node in nodes} == {LYON: 2, PARIS: 0}
    after = federation.submit(federation.write_experiment(rounds=1))
    federation.approve(LYON, PARIS)
    assert len(federation.digests(after)) == 1
