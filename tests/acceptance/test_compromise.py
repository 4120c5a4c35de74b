"""The drills of docs/compromise.md, with a thief who has the files."""

import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import BrokerRefused, BrokerUnavailable, ProtocolError
from fedmq.hub.credentials import write_credentials
from fedmq.hub.joiner import Joiner
from fedmq.hub.keyring import KeptWire, Keyring
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.hub.requests import Requests
from fedmq.messages.codec import Message
from fedmq.messages.registry import Body
from fedmq.security.joining import read_token
from fedmq.security.wire import SealedWire
from fedmq.transport.rabbitmq_join import ask, ask_to_join
from fedmq.types import Role
from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    POLICY,
    RESEARCHER,
    Federation,
    Outcome,
    running_federation,
    until,
)
from tests.unit.messages import examples

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("compromise"),
]

ROOT = Path(__file__).parents[2]
NEW_LYON, NEW_RESEARCHER = "chu-lyon-2", "r-two"
(SECRET,) = [one for one in examples.BODIES if one.TYPE == "prepare.request"]


def drill(heading: str) -> list[list[str]]:
    """Return the words of the commands that a section of the page shows, in order."""
    page = (ROOT / "docs" / "compromise.md").read_text()
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    shown = re.findall(r"^ {4}fedmq (.+)$", section, re.MULTILINE)
    assert shown
    return [shlex.split(line) for line in shown]


def run(federation: Federation, heading: str, at_site: str) -> None:
    """Run a drill: what the hub's operator types at the hub, the rest at the site.

    People type fingerprints; a name's token lies where the hub wrote it.
    """
    fingerprint = federation.do(CENTRE, "hub", "fingerprint").data.strip()
    printed = ""
    for words in drill(heading):
        is_hub = words[0] in {"hub", "orchestrator"}
        typed = list(words)
        if "join" in words:
            token = federation.home(CENTRE) / words[-1]
            typed = [*words[:-1], str(token), "--fingerprint", fingerprint, "--wait", "0"]
        if "admit" in words:
            typed += ["--fingerprint", printed]
        if words == ["node", "start"]:
            federation.write_policy(at_site, POLICY)
            federation.start_node(at_site)
            continue
        outcome: Outcome = federation.do(CENTRE if is_hub else at_site, *typed)
        if "join" in words and outcome.data:
            printed = outcome.data.strip()
        if "rotate" in words:
            printed = outcome.data.strip()
        if "joins" in words:
            assert printed in outcome.data


def stolen(path: Path, place: Path) -> Membership:
    """Return a member by copies of its files."""
    place.mkdir(parents=True)
    known = read_membership(path)
    shutil.copytree(known.keyring.folder, place / known.credentials.identity)
    write_credentials(place / path.name, known.credentials)
    return read_membership(place / path.name)


def cannot_connect(thief: Membership) -> None:
    """Return if nobody gets in with stolen files."""
    with pytest.raises((BrokerRefused, BrokerUnavailable)):
        ask(thief.login("fedmq thief"), thief.credentials.user, b"{}")


def saying(sender: str, recipient: str, body: Body = SECRET) -> Message:
    """Return a message."""
    made = examples.a_message(body)
    names = {"sender": sender, "recipient": recipient}
    return replace(made, envelope=made.envelope.model_copy(update=names))


def newest(federation: Federation, thief: Membership) -> SealedWire:
    """Return the thief's wire, with the newest roster, which is no secret."""
    keyring = Keyring(federation.home(CENTRE) / "hub" / "authority")
    roster = keyring.roster(keyring.signed_roster())
    return SealedWire(thief.keyring.identity(), roster, random=os.urandom)


def is_not_believed(thief: SealedWire, reader: KeptWire, name: str) -> None:
    """Return if what the thief signs is refused by who reads it."""
    with pytest.raises(ProtocolError) as caught:
        reader.open(thief.seal(saying(name, reader.identity.name), [reader.identity.name]))
    assert caught.value.reason in {"revoked_sender", "bad_signature"}


def cannot_read(thief: SealedWire, writer: KeptWire, reader: str) -> None:
    """Return if the thief does not open what is sealed to a member from now on."""
    encoded = writer.seal(saying(writer.identity.name, reader), [reader])
    with pytest.raises(ProtocolError) as caught:
        thief.open(encoded)
    assert caught.value.reason in {"wrong_recipient", "seal_broken"}


def wire_of(federation: Federation, name: str) -> KeptWire:
    """Return how a member signs and reads now."""
    return read_membership(federation.own_credentials(name)).wire()


def drill_of_a_node(federation: Federation, place: Path) -> None:
    """Under another name, in an experiment that finishes."""
    thief = stolen(federation.node_credentials(LYON), place / "thief")
    ask(thief.login("fedmq thief"), LYON, b"{}")  # before the drill they open the door
    site = federation.home(NEW_LYON)
    site.mkdir()
    federation.programs[LYON].end()
    shutil.copytree(federation.home(LYON) / "cases", site / "cases", symlinks=True)
    run(federation, "A node's keys", NEW_LYON)
    cannot_connect(thief)
    centre, wire = wire_of(federation, "orchestrator"), newest(federation, thief)
    is_not_believed(wire, centre, LYON)
    cannot_read(wire, centre, NEW_LYON)
    with pytest.raises(ProtocolError, match="no keys"):
        centre.seal(saying("orchestrator", LYON), [LYON])
    experiment = federation.write_experiment(rounds=1, nodes=[NEW_LYON, PARIS])
    identifier = federation.submit(experiment)
    federation.approve(NEW_LYON, PARIS)
    assert len(federation.digests(identifier)) == 1


def drill_of_a_researcher(federation: Federation, place: Path) -> None:
    """They are back under another name, and their questions are answered."""
    thief = stolen(federation.researcher_credentials, place / "thief")
    run(federation, "A researcher's keys", NEW_RESEARCHER)
    cannot_connect(thief)
    centre, wire = wire_of(federation, "orchestrator"), newest(federation, thief)
    is_not_believed(wire, centre, RESEARCHER)
    cannot_read(wire, centre, NEW_RESEARCHER)
    query = federation.fedmq(NEW_RESEARCHER, "experiments", "list", "--json")
    assert query.json["experiments"] == []


def drill_of_an_orchestrator(federation: Federation, place: Path) -> None:
    """Nodes take the next keys by themselves; a node's answer comes to these."""
    thief = stolen(federation.credentials("orchestrator"), place / "thief")
    run(federation, "The orchestrator's keys", CENTRE)
    cannot_connect(thief)
    wire = newest(federation, thief)
    until(lambda: wire_of(federation, PARIS).version == wire.version, "the roster at Paris")
    paris = wire_of(federation, PARIS)
    is_not_believed(wire, paris, "orchestrator")
    cannot_read(wire, paris, "orchestrator")
    sealed = wire_of(federation, "orchestrator").seal(saying("orchestrator", PARIS), [PARIS])
    assert paris.open(sealed).body == SECRET


def drill_of_a_token(federation: Federation, place: Path) -> None:
    """The thief has asked before the drill; afterwards not even the door is there."""
    made = federation.do(CENTRE, "hub", "add-node", "chu-lille").data
    token = read_token(made)
    joiner = Joiner(place / "thief" / "credentials.toml")
    request = joiner.begin(token)
    login = joiner.way(token).login("fedmq thief")

    def asks() -> bool:
        body = request.model_dump_json().encode()
        return ask_to_join(login, "chu-lille", body, take=lambda _body: None, wait_s=0.0)

    hub = federation.home(CENTRE) / "hub"

    def waiting() -> list[str]:
        return [one.request.name for one in Requests(Hub(hub), hub).waiting()]

    asks()
    assert "chu-lille" in waiting()
    run(federation, "A join token", CENTRE)
    with pytest.raises((BrokerRefused, BrokerUnavailable)):
        asks()
    assert "chu-lille" not in waiting()
    file = place / "request.json"
    file.write_text(request.model_dump_json())
    words = ("admit", "chu-lille", "--request", str(file))
    refused = federation.fedmq(CENTRE, "hub", *words, "--fingerprint", request.public.fingerprint)
    assert refused.code != 0
    assert "nobody of that name and role is invited" in refused.talk


def drill_of_the_authority(federation: Federation, _place: Path) -> None:
    """The authority's drill ends the old broker; every member joins another federation."""
    run(federation, "The hub's authority", CENTRE)
    assert federation.do(CENTRE, "hub", "status", "--json").json["running"] is False
    assert Role.NODE in {one.role for one in Hub(federation.home(CENTRE) / "hub").members()}


def test_after_each_drill_what_was_stolen_is_worth_nothing(tmp_path: Path) -> None:
    """One after the other in one federation, that of the authority last: it ends the hub."""
    with running_federation(tmp_path / "f", None) as federation:
        for number, practise in enumerate(
            (
                drill_of_a_node,
                drill_of_a_researcher,
                drill_of_an_orchestrator,
                drill_of_a_token,
                drill_of_the_authority,
            )
        ):
            place = tmp_path / f"thief-{number}"
            place.mkdir()
            practise(federation, place)
