"""Commands for the plans that a node's operator decides on."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table
from fedmq.cli.node_home import open_own_records, read_own_policy

if TYPE_CHECKING:
    from fedmq.messages.fields import Study
    from fedmq.node.plans import PlanRecord, Plans

_SHORT = 12
"""Digits of a digest that are shown where there is no room for all."""
_TITLE = 12
"""Characters of a line's title."""

app = typer.Typer(no_args_is_help=True, help="Training plans: what experiments may run here.")

Plan = Annotated[str, typer.Argument(help="A plan's name, or the beginning of its digest")]


@app.command("list")
def list_plans(*, as_json: Json = False) -> None:
    """List the plans that somebody wants to run here, those to decide on first."""
    from fedmq.cli.approval_words import describe_agreement
    from fedmq.node.approvals import last_day
    from fedmq.node.dependencies import read_dependencies

    store, policy, installed = open_own_records().plans, read_own_policy(), read_dependencies()
    known = store.all()
    agreements = {one.digest: store.approvals.of(one.digest) for one in known}
    if as_json:
        approvals = [
            {
                "digest": one.digest,
                "terms": one.terms,
                "signatures": one.signatures,
                "last_day": last_day(one, policy),
                "persons_missing": max(0, policy.approvals_needed - len(one.persons)),
            }
            for found in agreements.values()
            for one in found
        ]
        show_json({"plans": known, "approvals": approvals})
        return
    if known:
        show_table(
            ("decision", "plan", "digest", "asked by", "purpose"),
            [
                (
                    one.decision,
                    one.name,
                    one.digest[:_SHORT],
                    one.asked.researcher or "-",
                    one.asked.purpose or "-",
                )
                for one in known
            ],
            [
                "\n".join(
                    [
                        *([f"waits for: {one.asked.code}"] if one.asked.code else []),
                        *(
                            describe_agreement(agreed, policy, installed)
                            for agreed in agreements[one.digest]
                        ),
                    ]
                )
                for one in known
            ],
        )
    else:
        from fedmq.learning.catalogue import CATALOGUE

        say(f"nobody asked for a plan yet; the catalogue has {', '.join(sorted(CATALOGUE))}")
    next_command("fedmq node plans show PLAN", "fedmq node plans approve PLAN")


@app.command("show")
def show_plan(plan: Plan, *, as_json: Json = False) -> None:
    """Print what would run: who asked, the digest, and every line of the source."""
    from fedmq.cli.approval_words import describe_asked

    store = open_own_records().plans
    record = store.find(plan)
    source, askings = store.source(record), store.askings(record.digest)
    if as_json:
        show_json({"plan": record, "askings": askings, "source": source})
        return
    say(f"plan        {record.name}  ({'shipped' if record.is_shipped else 'of the catalogue'})")
    say(f"digest      {record.digest}")
    say(f"decision    {record.decision} {record.reason}".rstrip())
    for asked in askings:
        _say_lines(describe_asked(asked))
    show(source)
    next_command(
        f"fedmq node plans diff {record.digest[:_SHORT]}",
        f"fedmq node plans approve {record.digest[:_SHORT]}",
        f"fedmq node plans reject {record.digest[:_SHORT]} --reason TEXT",
    )


@app.command("diff")
def diff_plan(plan: Plan, *, as_json: Json = False) -> None:
    """Print what changed since the last plan of the same name that was approved here."""
    import difflib

    store = open_own_records().plans
    record = store.find(plan)
    source, before = store.source(record), store.last_approved(record)
    known = None if before is None else _read_kept(store, before)
    lines = (
        []
        if before is None
        else list(
            difflib.unified_diff(
                (known or "").splitlines(),
                source.splitlines(),
                f"{before.name} {before.digest[:_SHORT]}",
                f"{record.name} {record.digest[:_SHORT]}",
                lineterm="",
            )
        )
    )
    if as_json:
        is_kept = known is not None
        show_json({"plan": record, "before": before, "before_is_kept": is_kept, "diff": lines})
        return
    if before is None:
        say(f"no other plan called {record.name} was ever approved here: read all of it")
    elif known is None:
        say(
            f"{before.name} {before.digest[:_SHORT]} was approved here, but its source is not here"
            " any more: read all of the new one"
        )
    for line in lines:
        show(line)
    next_command(
        f"fedmq node plans show {record.digest[:_SHORT]}",
        f"fedmq node plans approve {record.digest[:_SHORT]}",
    )


Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", help="It may read this; again for another. Default: as asked."),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        help="What a setting may be, such as epochs=1..5 or loss=cox,discrete; it has to be set.",
    ),
]


@app.command()
def approve(  # noqa: PLR0913 - what an approval names
    plan: Plan,
    *,
    until: Annotated[
        str, typer.Option(metavar="DATE", help="The last day. Default: the study's last.")
    ] = "",
    dataset: Datasets = None,
    max_rounds: Annotated[int | None, typer.Option(min=1, help="Rounds in all.")] = None,
    limit: Limits = None,
    by: Annotated[
        str, typer.Option(metavar="NAME", help="Who approves. Default: your login.")
    ] = "",
    researcher: Annotated[
        str, typer.Option(metavar="NAME", help="Who may run it. Default: the one who asks.")
    ] = "",
    experiment: Annotated[
        str, typer.Option(metavar="ID", help="Whose asking, where several differ.")
    ] = "",
    protocol: Annotated[str, typer.Option(help="Of the study, where nobody asked yet.")] = "",
    ethics: Annotated[str, typer.Option(help="Reference of the vote on it.")] = "",
    study_end: Annotated[str, typer.Option(metavar="DATE", help="Its last day.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the approval would say, and stop.")
    ] = False,
) -> None:
    """Let exactly these bytes run here, for whom and on what the approval names."""
    import getpass
    import time

    from fedmq.cli.approval_words import describe_persons, describe_terms
    from fedmq.node.dependencies import read_dependencies
    from fedmq.node.policy import Decision
    from fedmq.node.proposals import Wishes, choose_terms
    from fedmq.node.terms import parse_limit

    store, policy, now = open_own_records().plans, read_own_policy(), time.time()
    record = store.find(plan)
    store.source_to_run(record)  # what cannot be read cannot be approved
    wishes = Wishes(
        researcher=researcher,
        experiment=experiment,
        study=_make_study(protocol, ethics, study_end),
        datasets=tuple(dataset or ()),
        until=until,
        max_rounds=max_rounds,
        limits=dict(map(parse_limit, limit or ())),
    )
    terms = choose_terms(store, record, wishes, policy, read_dependencies(), now=now)
    say(f"{record.name} {record.digest[:_SHORT]}")
    _say_lines(describe_terms(terms))
    if dry_run:
        say("nothing was approved")
        next_command("fedmq node plans list")
        return
    agreement = store.approve(
        record, terms, by or getpass.getuser(), needed=policy.approvals_needed, now=now
    )
    _say_lines([("approved by", describe_persons(agreement, policy.approvals_needed))])
    is_approved = store.find(record.digest).decision is Decision.APPROVED
    say(
        f"{record.name} {record.digest[:_SHORT]} "
        + ("is approved on this node" if is_approved else "waits for another person")
    )
    next_command(
        "fedmq node plans list"
        if is_approved
        else f"fedmq node plans approve {record.digest[:_SHORT]} --by NAME"
    )


@app.command()
def reject(
    plan: Plan,
    *,
    reason: Annotated[
        str, typer.Option(help="Why; has to be given. It stays in this site's records.")
    ] = "",
) -> None:
    """Do not let these bytes run here, not even where they were approved."""
    import time

    from fedmq.errors import ConfigurationError

    if not reason.strip():
        raise ConfigurationError(
            "nothing was rejected",
            why="a rejection has a reason, which stays in this site's records; none was given",
            fix=f'fedmq node plans reject {plan} --reason "not discussed yet"',
        )
    store = open_own_records().plans
    record = store.reject(store.find(plan), reason, now=time.time())
    say(f"{record.name} {record.digest[:_SHORT]} is rejected on this node")
    next_command("fedmq node plans list")


def _read_kept(store: "Plans", record: "PlanRecord") -> str | None:
    """Return the source of a plan that was approved once, None if it is not here any more."""
    from fedmq.errors import PlanError

    try:
        return store.source(record)
    except PlanError:
        return None


def _make_study(protocol: str, ethics: str, end: str) -> "Study | None":
    from pydantic import ValidationError

    from fedmq.errors import ConfigurationError
    from fedmq.messages.fields import Study

    if not (protocol or ethics or end):
        return None
    try:
        return Study(protocol=protocol, ethics=ethics, end=end)
    except ValidationError as error:
        raise ConfigurationError(
            "the study is not whole",
            why="expected: its protocol, the reference of the vote, and its last day",
            fix="name --protocol, --ethics and --study-end 2027-12-31, or none of them",
        ) from error


def _say_lines(lines: Iterable[tuple[str, str]]) -> None:
    for title, words in lines:
        say(f"{title:<{_TITLE}}{words}")
