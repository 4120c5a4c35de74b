"""The register: members and their rights, and what the broker has to forget."""

from dataclasses import replace
from typing import cast

import pytest

from fedmq.hub.register import ExternalBroker, Invitation, Member, Register, rights
from fedmq.transport.rights import (
    Rights,
    monitor_rights,
    node_rights,
    orchestrator_rights,
    researcher_rights,
)
from fedmq.types import NodeId, ResearcherId, Role


def member(name: str, role: Role) -> Member:
    """Return a member with some password."""
    return Member(name=name, role=role, password_hash=f"hash of {name}")


ANOTHER = "another hash"
LYON = member("chu-lyon", Role.NODE)
PARIS = member("ghu-paris", Role.NODE)
ROSTER = Register(
    members=(
        LYON,
        PARIS,
        member("hub-b", Role.ORCHESTRATOR),
        member("monitor", Role.MONITOR),
        member("r-one", Role.RESEARCHER),
    )
)

JOINERS = {f"join-{one.name}" for one in ROSTER.members}
"""The logins that nobody joins with: whoever is a member has no invitation any more."""
LYONS = {"node.chu-lyon.tasks", "node.chu-lyon.payloads"}
JOINS = {f"join.{one.name}" for one in ROSTER.members}
INVITATION = Invitation(secret_hash="a" * 64, expires_at=1.0)


def test_who_is_invited_has_a_login_that_asks_and_a_queue_for_the_answer() -> None:
    """It may write to one exchange of its own and read one queue, and nothing else."""
    register = ROSTER.with_member(replace(LYON, invitation=INVITATION))
    (rights_of,) = [p for p in entries(register, "permissions") if p["user"] == "join-chu-lyon"]
    assert rights_of == {
        "user": "join-chu-lyon",
        "vhost": "fedmq",
        "configure": "^$",
        "write": r"^(fedmq\.join\.chu\-lyon)$",
        "read": r"^(join\.chu\-lyon)$",
    }
    asking = [
        one for one in entries(register, "bindings") if one["source"] == "fedmq.join.chu-lyon"
    ]
    assert [one["destination"] for one in asking] == ["hub.joins.chu-lyon"]
    assert not [
        one for one in entries(register, "bindings") if one["destination"] == "join.chu-lyon"
    ]
    assert "join.chu-lyon" in {queue["name"] for queue in entries(register, "queues")}
    assert "join-chu-lyon" not in register.abandoned_logins()
    assert "join.chu-lyon" not in register.abandoned_queues()


def entries(register: Register, kind: str) -> list[dict[str, str]]:
    """Return one list of the definitions."""
    return cast("list[dict[str, str]]", register.definitions()[kind])


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (Role.NODE, node_rights(NodeId("me"))),
        (Role.RESEARCHER, researcher_rights(ResearcherId("me"))),
        (Role.ORCHESTRATOR, orchestrator_rights("me")),
        (Role.MONITOR, monitor_rights()),
        (Role.ADMIN, Rights(configure=".*", write=".*", read=".*")),
    ],
)
def test_rights_follow_the_role(role: Role, expected: Rights) -> None:
    """Each role has its own, made for the member's name."""
    assert rights(member("me", role)) == expected


def test_only_admins_and_monitors_may_use_the_management_pages() -> None:
    """A tag opens them; everybody else has none."""
    register = Register(members=tuple(member(role, role) for role in Role))
    assert {user["name"]: user["tags"] for user in entries(register, "users")} == {
        "admin": "administrator",
        "monitor": "monitoring",
        "node": "",
        "orchestrator": "",
        "researcher": "",
    }


@pytest.mark.parametrize(
    ("hosts", "kind"),
    [("hub.example:5672", "classic"), ("one.example,two.example,three.example", "quorum")],
)
def test_chunks_have_replicas_on_an_external_cluster(hosts: str, kind: str) -> None:
    """Its address names more than one node."""
    external = ExternalBroker(
        url=f"amqp://{hosts}/fedmq",
        admin_url="http://one.example:15672",
        user="a",
        password=ANOTHER,
    )
    register = replace(ROSTER, external=external)
    queues = {queue.name: queue.arguments["x-queue-type"] for queue in register.layout().queues}
    assert queues["node.chu-lyon.payloads"] == queues["researcher.r-one.payloads"] == kind


def test_every_member_has_its_queues_and_its_permission() -> None:
    """Nodes and researchers have addresses; all have a line of permissions in the vhost."""
    queues = {queue["name"] for queue in entries(ROSTER, "queues")}
    assert queues >= {
        "node.chu-lyon.tasks",
        "node.chu-lyon.payloads",
        "node.ghu-paris.tasks",
        "researcher.r-one.inbox",
        "researcher.r-one.payloads",
        "orchestrator.hub-b.inbox",
        "orchestrator.hub-b.events",
        "hub.joins.chu-lyon",
        "hub.joins.r-one",
    }
    assert "hub.joins.monitor" not in queues, "who has no keys asks for none"
    permissions = entries(ROSTER, "permissions")
    assert [(p["user"], p["vhost"]) for p in permissions] == [
        (name, "fedmq") for name in ("chu-lyon", "ghu-paris", "hub-b", "monitor", "r-one")
    ]


def test_who_is_removed_is_remembered_until_the_broker_forgot() -> None:
    """With the queues that were its own, and no others."""
    register = ROSTER.without_member(LYON)
    assert register.find("chu-lyon") is None
    assert register.removed == (LYON,)
    assert register.abandoned_logins() == {"chu-lyon"} | JOINERS
    assert register.abandoned_queues() == LYONS | {"hub.joins.chu-lyon"} | JOINS
    assert register.abandoned_exchanges() == {"fedmq.join.chu-lyon"}
    assert ROSTER.abandoned_queues() == JOINS


def test_the_queues_of_an_orchestrator_that_was_put_out_are_abandoned() -> None:
    """Submissions that nobody will read go with it."""
    (second,) = [one for one in ROSTER.members if one.role is Role.ORCHESTRATOR]
    gone = ROSTER.without_member(second).abandoned_queues()
    assert {"orchestrator.hub-b.inbox", "orchestrator.hub-b.events"} <= gone
    assert not any(name.startswith("orchestrator.") for name in ROSTER.abandoned_queues())


def test_who_comes_back_is_not_to_be_forgotten() -> None:
    """Its login and its queues are a member's again."""
    back = ROSTER.without_member(LYON).with_member(LYON)
    assert back.members == ROSTER.members
    assert (back.abandoned_logins(), back.abandoned_queues()) == (JOINERS, JOINS)


def test_who_comes_back_in_another_role_leaves_its_old_queues() -> None:
    """The login stays, the queues of the node go."""
    back = ROSTER.without_member(LYON).with_member(member("chu-lyon", Role.RESEARCHER))
    assert back.abandoned_logins() == JOINERS
    assert back.abandoned_queues() == LYONS | JOINS


def test_a_member_of_the_same_name_is_replaced() -> None:
    """A new password takes the old one's place."""
    new = Member(name="chu-lyon", role=Role.NODE, password_hash=ANOTHER)
    assert ROSTER.with_member(new).members == (new, *ROSTER.members[1:])
