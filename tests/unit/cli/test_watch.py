"""The watchers' commands, against a management API that answers what it is given."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fedmq.cli.tables import below, lay_out
from fedmq.cli.watch import NODE_TITLES, node_rows
from fedmq.hub.credentials import Role
from fedmq.messages.codec import Message, encode
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import Activity, ExperimentOverview, NodeOverview, Overview
from fedmq.monitor.status import NodeStatus
from tests.unit.cli.line import CommandLine

Watch = Callable[..., AbstractContextManager[CommandLine]]

REASON = "2 of 4; waiting for chu-lyon, ico-nantes; ghu-paris failed: update_not_finite"
OVERVIEW = Overview(
    version="1",
    nodes=[
        NodeOverview(
            node="chu-lyon",
            heard_at=1.0,
            activity=Activity.TRAINING,
            experiment="lung-1",
            round=3,
            progress=0.5,
        )
    ],
    experiments=[
        ExperimentOverview(
            experiment="lung-1", state="training", round=3, num_rounds=10, reason=REASON
        )
    ],
)
QUEUES = [
    {"name": "node.chu-lyon.tasks", "consumers": 1, "messages_ready": 2},
    {"name": "node.ghu-paris.tasks", "consumers": 0, "messages_ready": 7},
    {"name": "dead", "messages": 1},
]
DEAD = {
    "payload": "",
    "payload_bytes": 12,
    "properties": {
        "user_id": "orchestrator",
        "type": "garbage",
        "headers": {"x-death": [{"queue": "node.chu-lyon.tasks", "reason": "rejected", "time": 9}]},
    },
}


def overview_letter() -> dict[str, object]:
    """Return the overview as the management hands it out."""
    envelope = Envelope(
        type=Overview.TYPE,
        message_id="overview.1",
        sender="orchestrator",
        recipient="-",
        experiment="-",
        sent_at=1.0,
    )
    body = encode(Message(envelope=envelope, body=OVERVIEW))
    return {
        "payload": base64.b64encode(body).decode(),
        "payload_bytes": len(body),
        "properties": {"user_id": "orchestrator", "type": Overview.TYPE},
    }


@contextmanager
def management(answers: Mapping[str, object], status: int = 200) -> Iterator[str]:
    """Yield the address of an API that answers by path."""

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answers[self.path]).encode())

        do_GET = do_POST = answer  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


ANSWERS = {
    "/api/queues/nowhere": QUEUES,
    "/api/queues/nowhere/dead": {"messages": 1},
    "/api/overview": {"rabbitmq_version": "3.10.8"},
    "/api/queues/nowhere/dead/get": [DEAD],
    "/api/queues/nowhere/monitor.events/get": [overview_letter()],
}
EMPTY = {
    **ANSWERS,
    "/api/queues/nowhere": [],
    "/api/queues/nowhere/dead/get": [],
    "/api/queues/nowhere/monitor.events/get": [],
}


@pytest.fixture
def watch(fedmq: CommandLine, credentials: Callable[..., Path]) -> Watch:
    """Return what opens the command line of a monitor at an API."""

    @contextmanager
    def at(answers: Mapping[str, object], status: int = 200) -> Iterator[CommandLine]:
        with management(answers, status) as url:
            credentials("monitor", Role.MONITOR, Path("hub/credentials/monitor.toml"), url)
            yield fedmq

    return at


def test_status_has_a_row_for_each_node_and_experiment(watch: Watch) -> None:
    """With what an experiment waits for below it, and the next command where letters are dead."""
    with watch(ANSWERS) as fedmq:
        outcome = fedmq("status")
    assert outcome.code == 0
    rows = [line.split() for line in outcome.data.splitlines()]
    assert rows[0][:3] == ["node", "online", "last"]
    assert rows[1][:2] == ["chu-lyon", "yes"]
    assert rows[1][-10:-6] == ["2", "0", "0", "1"]
    assert " ".join(rows[1][-6:]) == "training round 3 (50%) of lung-1"
    assert rows[2] == ["ghu-paris", "no", "never", "7", "0", "0", "0", "not", "heard", "of"]
    assert rows[4:6] == [
        ["experiment", "state", "round"],
        ["lung-1", "training", "3", "of", "10"],
    ]
    assert outcome.data.splitlines()[6] == "    " + REASON
    assert outcome.talk == "next: fedmq dead\n"


def test_programs_get_the_status_whole(watch: Watch) -> None:
    """Nodes, experiments, the number of dead letters, who leads."""
    with watch(ANSWERS) as fedmq:
        shown = fedmq("status", "--json").json
    assert list(shown) == ["schema_version", "nodes", "experiments", "dead", "orchestrators"]
    assert shown["nodes"][0] == {
        "node": "chu-lyon",
        "online": True,
        "heard_at": 1.0,
        "waiting": 2,
        "in_hand": 0,
        "redelivered": 0,
        "dead": 1,
        "doing": "training round 3 (50%) of lung-1",
    }
    assert shown["experiments"] == [OVERVIEW.experiments[0].model_dump(mode="json")]
    assert (shown["dead"], shown["orchestrators"]) == (1, ["orchestrator"])


def test_an_empty_federation_says_so(watch: Watch) -> None:
    """No node, no experiment, no orchestrator, no dead letter: nothing fails."""
    with watch(EMPTY) as fedmq:
        outcome = fedmq("status")
        assert outcome.code == 0
        assert outcome.talk.splitlines() == [
            "no experiment runs",
            "no orchestrator was heard in the last minute",
            "next: fedmq status --json",
        ]
        dead = fedmq("dead")
        assert (dead.data, dead.talk) == ("", "no message is dead\nnext: fedmq status\n")
        assert fedmq("dead", "--json").json == {"schema_version": 1, "letters": []}


def test_dead_letters_say_where_why_and_whose(watch: Watch) -> None:
    """In a row and as JSON."""
    with watch(ANSWERS) as fedmq:
        outcome = fedmq("dead")
        shown = fedmq("dead", "--json").json
    row = outcome.data.splitlines()[1].split()[2:]
    assert row == ["node.chu-lyon.tasks", "rejected", "orchestrator", "garbage", "12", "B"]
    assert outcome.ends_with_next
    assert shown["letters"] == [
        {
            "queue": "node.chu-lyon.tasks",
            "reason": "rejected",
            "user": "orchestrator",
            "type": "garbage",
            "size_bytes": 12,
            "at": 9.0,
        }
    ]


@pytest.mark.parametrize("command", ["status", "dead"])
def test_a_refusal_of_the_broker_ends_with_4(command: str, watch: Watch) -> None:
    """The password is wrong; it is not said."""
    with watch({path: [] for path in ANSWERS}, 401) as fedmq:
        outcome = fedmq(command, "--json")
    assert (outcome.code, outcome.data) == (4, "")
    assert "refuses user monitor" in outcome.talk
    assert "s3cret" not in outcome.talk


@pytest.mark.parametrize("command", ["status", "dead"])
def test_the_file_of_another_role_is_refused(
    command: str, fedmq: CommandLine, credentials: Callable[..., Path]
) -> None:
    """A node's login sees no queue but its own: the error says what to use."""
    path = credentials("chu-lyon", Role.NODE)
    outcome = fedmq(command, "--credentials", str(path))
    assert (outcome.code, outcome.data) == (1, "")
    assert outcome.talk.splitlines() == [
        "error: the credentials of chu-lyon are not a monitor's",
        "  why: expected: role monitor; got: role node",
        "  fix: use the hub's hub/credentials/monitor.toml",
    ]


def test_on_a_screen_of_100_columns_nothing_wraps() -> None:
    """Long names and long doings, large numbers: the end of what a node does is cut."""
    nodes = [
        NodeStatus(
            node=name,
            online=True,
            heard_at=None,
            waiting=12_345,
            in_hand=16,
            redelivered=123_456,
            dead=None,
            doing="evaluating round 12 (100%) of lung-pfs-of-all-sites-16bc7b",
        )
        for name in ("ico-nantes", "centre-hospitalier-universitaire-de-lyon")
    ]
    lines = lay_out(NODE_TITLES, node_rows(nodes, now=0.0), width=100)
    lines += below(REASON * 5, width=100)
    assert max(map(len, lines)) == 100
    assert "evaluating round 12" in lines[1]
