"""The commands for plans: what is asked, every line of it, the operator's word."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.cli.approval_words import describe_asked
from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.messages.fields import PlanReference, Study
from fedmq.node.plans import Asked, asked_by
from fedmq.node.policy import Policy
from fedmq.node.proposals import Wishes, propose_terms
from fedmq.node.records import open_records
from fedmq.transport.home import LocalHome
from fedmq.types import Role
from tests.support.mandates import mandate
from tests.unit.cli.line import CommandLine

PLAN = "clinical-logistic"
DIGEST = plan_digest(plan_source(PLAN))
UNTIL = f"{time.localtime().tm_year + 1}-01-01"
PURPOSE = "Progression-free survival at 12 months from the clinical table, for the whole federation"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node."""
    credentials("chu-lyon", Role.NODE, home / "node" / "credentials.toml")
    return fedmq


STUDY = Study(protocol="FEDPET-01", ethics="CPP 2026-117", end="2199-12-31")
ASKED = Asked(
    experiment="lung-1",
    researcher="ada",
    purpose=PURPOSE,
    dataset="lung-petct",
    study=STUDY,
    config={"epochs": 2},
    num_rounds=8,
    quorum=3,
    code="plan_awaits_approval",
)
MINE = "print('learn')\n"


def ask(home: Path, source: str | None = None, *, asked: Asked = ASKED, at: float = 5.0) -> str:
    """Let a researcher ask for the plan, or for one of their own; return the digest."""
    records = open_records(LocalHome(home / "node"))
    name, digest = (PLAN, DIGEST) if source is None else ("mine", plan_digest(source.encode()))
    plan = PlanReference(name=name, digest=digest, is_shipped=source is not None)
    records.plans.ask(plan, source, asked, now=at)
    records.close()
    return digest


def test_an_operator_is_shown_how_updates_and_models_would_travel() -> None:
    """As it is signed, with the share of the numbers that is sent."""
    plan = PlanReference(name=PLAN, digest=DIGEST, is_shipped=False)
    order = mandate(plan, update_encoding="top-k", top_k_share=0.05, model_encoding="bf16")
    asked = describe_asked(asked_by(order))
    assert dict(asked)["travel"] == "updates top-k 0.05, models bf16"


def test_a_plan_is_listed_read_and_decided_on(node: CommandLine, home: Path) -> None:
    """Each screen ends with the next command; the source is the data, byte for byte."""
    nothing = node("node", "plans", "list")
    assert (nothing.code, nothing.data, nothing.ends_with_next) == (0, "", True)
    assert f"the catalogue has {PLAN}" in nothing.talk
    ask(home)
    listed = node("node", "plans", "list")
    assert listed.data.splitlines() == [
        "decision  plan               digest        asked by  purpose",
        f"awaiting  {PLAN}  {DIGEST[:12]}  ada       {PURPOSE}",
        "    waits for: plan_awaits_approval",
    ]
    assert listed.ends_with_next
    shown = node("node", "plans", "show", PLAN)
    assert shown.data == plan_source(PLAN).decode() + "\n"
    assert shown.talk.splitlines()[3:11] == [
        "asked by    ada for lung-1",
        "signed by   nobody: this federation has no keys",
        f"purpose     {PURPOSE}",
        "study       FEDPET-01, vote CPP 2026-117, ends 2199-12-31",
        "dataset     lung-petct",
        "settings    epochs = 2",
        "rounds      8, each of at least 3 nodes",
        "waits for   plan_awaits_approval",
    ]
    assert f"next: fedmq node plans diff {DIGEST[:12]}" in shown.talk
    assert shown.ends_with_next
    why = ("--reason", "not discussed")
    for command, word, options in (("approve", "approved", ()), ("reject", "rejected", why)):
        decided = node("node", "plans", command, DIGEST[:12], *options)
        assert f"{PLAN} {DIGEST[:12]} is {word} on this node" in decided.talk
        assert decided.ends_with_next
        assert node("node", "plans", "list").data.splitlines()[1].startswith(word)


def test_programs_get_digest_decision_and_source(node: CommandLine, home: Path) -> None:
    """Whole."""
    ask(home)
    node("node", "plans", "reject", PLAN, "--reason", "not discussed")
    listed = node("node", "plans", "list", "--json").json
    assert listed["schema_version"] == 1
    (plan,) = listed["plans"]
    assert (plan["name"], plan["digest"], plan["is_shipped"]) == (PLAN, DIGEST, False)
    assert (plan["decision"], plan["reason"]) == ("rejected", "not discussed")
    assert plan["asked"] == ASKED.model_dump(mode="json")
    assert listed["approvals"] == []
    assert plan["asked_at"] == 5.0
    shown = node("node", "plans", "show", PLAN, "--json").json
    assert shown == {
        "schema_version": 1,
        "plan": plan,
        "askings": [plan["asked"]],
        "source": plan_source(PLAN).decode(),
    }


@pytest.mark.parametrize("options", [(), ("--reason", ""), ("--reason", "  ")])
def test_a_rejection_has_a_reason(node: CommandLine, home: Path, options: tuple[str, ...]) -> None:
    """Without one nothing is decided, and what was approved stays so."""
    ask(home)
    node("node", "plans", "approve", PLAN)
    outcome = node("node", "plans", "reject", PLAN, *options)
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: nothing was rejected" in outcome.talk
    assert "why: a rejection has a reason" in outcome.talk
    assert f"fix: fedmq node plans reject {PLAN} --reason" in outcome.talk
    (plan,) = node("node", "plans", "list", "--json").json["plans"]
    assert plan["decision"] == "approved"


def test_a_plan_that_nobody_asked_for_is_an_error(node: CommandLine) -> None:
    """The catalogue's names are said."""
    outcome = node("node", "plans", "show", "petct-survial", "--json")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: there is no plan petct-survial" in outcome.talk
    assert "petct-survival" in outcome.talk


def test_an_approval_says_what_it_will_say_before_it_is_one(node: CommandLine, home: Path) -> None:
    """Whom, what, until when, with which packages; narrowed as the operator wishes."""
    ask(home)
    options = ("--until", UNTIL, "--dataset", "a", "--dataset", "b", "--max-rounds", "9")
    limits = ("--limit", "epochs=1..5", "--limit", "learning_rate=..0.1")
    wanted = ("node", "plans", "approve", PLAN, *options, *limits, "--by", "op-1")
    tried = node(*wanted, "--dry-run")
    assert tried.talk.splitlines()[:7] == [
        f"{PLAN} {DIGEST[:12]}",
        "researcher  ada",
        "study       FEDPET-01, vote CPP 2026-117, ends 2199-12-31",
        "datasets    a, b",
        "settings    epochs 1..5, learning_rate ..0.1; as the plan's own ranges allow",
        "rounds      at most 9",
        f"until       {UNTIL}",
    ]
    assert "packages    fedmq " in tried.talk
    assert "nothing was approved" in tried.talk
    assert tried.ends_with_next
    assert node("node", "plans", "list", "--json").json["approvals"] == []
    done = node(*wanted)
    assert done.talk.splitlines()[:8] == tried.talk.splitlines()[:8]
    assert "approved by op-1" in done.talk
    (approval,) = node("node", "plans", "list", "--json").json["approvals"]
    assert (approval["digest"], approval["last_day"], approval["persons_missing"]) == (
        DIGEST,
        UNTIL,
        0,
    )
    assert approval["terms"]["max_rounds"] == 9
    (line,) = [line for line in node("node", "plans", "list").data.splitlines() if "op-1" in line]
    assert line == f"    ada on a, b; FEDPET-01; until {UNTIL}; approved by op-1"


OTHERS = {
    "researcher": ASKED.model_copy(update={"experiment": "x-1", "researcher": "mallory"}),
    "study": ASKED.model_copy(
        update={"experiment": "x-1", "study": STUDY.model_copy(update={"protocol": "OTHER-9"})}
    ),
    "dataset": ASKED.model_copy(update={"experiment": "x-1", "dataset": "brain"}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_who_asks_between_show_and_approve_is_not_approved_by_it(
    node: CommandLine, home: Path, what: str
) -> None:
    """Of several askings that differ the operator names one; nothing is approved until then."""
    digest = ask(home, at=1.0)[:12]
    assert "x-1" not in node("node", "plans", "show", digest).talk
    ask(home, asked=OTHERS[what], at=2.0)
    for options in ((), ("--dry-run",), ("--max-rounds", "5")):
        refused = node("node", "plans", "approve", digest, *options)
        assert refused.code == 1
        assert f"2 different askings wait for {PLAN} {digest}: nothing was approved" in refused.talk
        assert ", in lung-1" in refused.talk
        assert ", in x-1" in refused.talk
    assert node("node", "plans", "list", "--json").json["approvals"] == []
    shown = node("node", "plans", "show", digest).talk
    assert "asked by    ada for lung-1" in shown
    assert " for x-1" in shown
    assert node("node", "plans", "approve", digest, "--experiment", "lung-1").code == 0
    (approval,) = node("node", "plans", "list", "--json").json["approvals"]
    terms = approval["terms"]
    assert (terms["researcher"], terms["datasets"]) == ("ada", ["lung-petct"])
    assert terms["study"] == STUDY.model_dump(mode="json")


def test_the_researcher_singles_out_an_asking(node: CommandLine, home: Path) -> None:
    """So does whoever names all that an approval is for; one who did not ask is not meant."""
    ask(home, at=1.0)
    ask(home, asked=OTHERS["researcher"], at=2.0)
    terms = node("node", "plans", "approve", PLAN, "--researcher", "ada", "--dry-run").talk
    assert "researcher  ada" in terms
    both = ("--researcher", "ada", "--experiment", "x-1")
    wrong = node("node", "plans", "approve", PLAN, *both)
    assert wrong.code == 1
    assert f"x-1 did not ask for {PLAN} {DIGEST[:12]}" in wrong.talk


def test_experiments_that_ask_for_the_same_are_approved_together(
    node: CommandLine, home: Path
) -> None:
    """An approval names no experiment."""
    ask(home, at=1.0)
    ask(home, asked=ASKED.model_copy(update={"experiment": "lung-2"}), at=2.0)
    assert node("node", "plans", "approve", PLAN).code == 0


def test_two_persons_are_told_who_is_missing(node: CommandLine, home: Path) -> None:
    """The second one need not repeat the options of the first."""
    (home / "node" / "policy.toml").write_text("approvals_needed = 2\n")
    ask(home)
    first = node("node", "plans", "approve", PLAN, "--max-rounds", "9", "--by", "op-1")
    assert "approved by op-1; 1 more person has to approve the same" in first.talk
    assert f"{PLAN} {DIGEST[:12]} waits for another person" in first.talk
    again = node("node", "plans", "approve", PLAN, "--by", "op-1")
    assert "1 more person has to approve" in again.talk
    (approval,) = node("node", "plans", "list", "--json").json["approvals"]
    assert approval["persons_missing"] == 1
    second = node("node", "plans", "approve", PLAN, "--by", "op-2")
    assert "rounds      at most 9" in second.talk
    assert f"{PLAN} {DIGEST[:12]} is approved on this node" in second.talk
    assert second.ends_with_next


def test_a_difference_is_shown_to_what_was_approved_last(node: CommandLine, home: Path) -> None:
    """Line by line; where there is none, that is said."""
    first = ask(home, MINE)
    nothing = node("node", "plans", "diff", "mine")
    assert (nothing.code, nothing.data) == (0, "")
    assert "no other plan called mine was ever approved here: read all of it" in nothing.talk
    node("node", "plans", "approve", "mine")
    second = ask(home, MINE.replace("learn", "steal"), at=6.0)
    shown = node("node", "plans", "diff", second[:12])
    assert shown.data.splitlines() == [
        f"--- mine {first[:12]}",
        f"+++ mine {second[:12]}",
        "@@ -1 +1 @@",
        "-print('learn')",
        "+print('steal')",
    ]
    assert shown.ends_with_next
    document = node("node", "plans", "diff", second[:12], "--json").json
    assert document["before"]["digest"] == first
    assert document["before_is_kept"] is True
    assert document["diff"] == shown.data.splitlines()


def upgrade(monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a newer version of the plan; return its digest."""
    newer = plan_source(PLAN) + b"# newer\n"
    monkeypatch.setattr("fedmq.node.plans.plan_source", lambda _: newer)
    return plan_digest(newer)


def ask_upgraded(home: Path, digest: str) -> None:
    """Let a researcher ask for a plan of the catalogue that was upgraded."""
    records = open_records(LocalHome(home / "node"))
    plan = PlanReference(name=PLAN, digest=digest, is_shipped=False)
    records.plans.ask(plan, None, ASKED, now=6.0)
    records.close()


def test_a_difference_is_shown_to_the_version_of_the_catalogue_before(
    node: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older bytes are nowhere in the program any more, and `fedmq gc` leaves them."""
    ask(home)
    node("node", "plans", "approve", PLAN)
    digest = upgrade(monkeypatch)
    ask_upgraded(home, digest)
    assert node("gc").code == 0
    shown = node("node", "plans", "diff", digest[:12])
    assert shown.code == 0
    changed = [line for line in shown.data.splitlines() if line[0] in "+-"]
    assert changed == [f"--- {PLAN} {DIGEST[:12]}", f"+++ {PLAN} {digest[:12]}", "+# newer"]
    assert node("node", "plans", "diff", digest[:12], "--json").json["before_is_kept"] is True
    older = node("node", "plans", "show", DIGEST[:12])
    assert older.data == plan_source(PLAN).decode() + "\n"


def test_all_of_a_plan_is_shown_where_the_version_before_is_not_kept(
    node: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was approved before approved sources were kept; that is said."""
    ask(home)
    node("node", "plans", "approve", PLAN)
    (home / "node" / "plans" / f"{DIGEST}.py").unlink()
    digest = upgrade(monkeypatch)
    ask_upgraded(home, digest)
    shown = node("node", "plans", "diff", digest[:12])
    assert shown.code == 0
    assert f"{PLAN} {DIGEST[:12]} was approved here, but its source is not here" in shown.talk
    added = [line[1:] for line in shown.data.splitlines()[3:]]
    assert added == [*plan_source(PLAN).decode().splitlines(), "# newer"]
    document = node("node", "plans", "diff", digest[:12], "--json").json
    assert document["before_is_kept"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--until", "2001-01-01"), "cannot hold until 2001-01-01"),
        (("--limit", "epochs"), "'epochs' limits nothing"),
        (("--protocol", "P"), "the study is not whole"),
    ],
)
def test_what_an_approval_cannot_say_is_an_error(
    node: CommandLine, home: Path, options: tuple[str, ...], words: str
) -> None:
    """And nothing is approved."""
    ask(home)
    outcome = node("node", "plans", "approve", PLAN, *options)
    assert (outcome.code, outcome.data) == (1, "")
    assert words in outcome.talk
    assert node("node", "plans", "list", "--json").json["approvals"] == []


def test_a_plan_is_approved_before_anybody_asks_for_whom_the_operator_names(
    node: CommandLine,
) -> None:
    """And for nobody else."""
    vague = node("node", "plans", "approve", PLAN)
    assert vague.code == 1
    assert "fix: wait until somebody asks, or name --researcher and --dataset" in vague.talk
    study = ("--protocol", "FEDPET-01", "--ethics", "CPP 2026-117", "--study-end", "2199-12-31")
    whom = ("--researcher", "ada", "--dataset", "lung-petct", *study)
    assert node("node", "plans", "approve", PLAN, *whom).code == 0
    (approval,) = node("node", "plans", "list", "--json").json["approvals"]
    assert approval["terms"]["researcher"] == "ada"
    assert approval["terms"]["study"] == STUDY.model_dump(mode="json")


def test_packages_that_changed_are_named_in_the_list(node: CommandLine, home: Path) -> None:
    """So that the operator knows why a plan waits again."""
    ask(home)
    records = open_records(LocalHome(home / "node"))
    terms = propose_terms(ASKED, Wishes(), Policy(), {"torch": "1.0"}, now=time.time())
    records.plans.approve(records.plans.find(PLAN), terms, "op-1", needed=1, now=time.time())
    records.close()
    assert "holds no more: " in node("node", "plans", "list").data
    assert "torch 1.0 -> " in node("node", "plans", "list").data
