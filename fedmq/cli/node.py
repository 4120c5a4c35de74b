"""Commands of who runs the node of a hospital."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import next_command, say, show, show_json

if TYPE_CHECKING:
    from fedmq.node.datasets import Inspection
    from fedmq.transport.journal import Journal

_MAX_NAMED = 10

app = typer.Typer(no_args_is_help=True, help="The program of one hospital.")
data = typer.Typer(no_args_is_help=True, help="Datasets: what experiments may learn from.")
plans = typer.Typer(no_args_is_help=True, help="Training plans: what experiments may run here.")
app.add_typer(data, name="data")
app.add_typer(plans, name="plans")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Dataset = Annotated[str, typer.Argument(help="The name that experiments use, such as lung-petct")]
Plan = Annotated[str, typer.Argument(help="A plan's name, or the beginning of its digest")]


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The node's name, as the hub's operator gave it")],
    *,
    credentials: Annotated[
        Path | None, typer.Option(help="The file that the hub wrote for this node.")
    ] = None,
) -> None:
    """Make this machine the node NAME: its folder, its credentials, its journal."""
    from fedmq.errors import ConfigurationError
    from fedmq.hub.credentials import Role, read_credentials, write_credentials
    from fedmq.node.service import open_journal
    from fedmq.settings import read_settings

    settings = read_settings()
    login = read_credentials(credentials or settings.hub / "credentials" / f"{name}.toml")
    if login.user != name or login.role is not Role.NODE:
        raise ConfigurationError(
            f"the credentials are not those of the node {name}",
            why=f"they are of the {login.role} {login.user}",
            fix="ask the hub's operator for: fedmq hub add-node " + name,
        )
    own = settings.node / "credentials.toml"
    if own.exists() and read_credentials(own).user != name:
        raise ConfigurationError(
            "this folder belongs to another node",
            why=f"it is the home of {read_credentials(own).user}",
            fix="choose another folder with FEDMQ_HOME",
        )
    open_journal(settings.node).close()
    write_credentials(own, login)
    say(f"this is the node {name}; its folder is {settings.node}")
    next_command("fedmq node data add NAME FOLDER", "fedmq node plans list", "fedmq node start")


@app.command()
def start(*, json_logs: Annotated[bool, typer.Option(help="Log lines as JSON.")] = False) -> None:
    """Take part in experiments until stopped; started again, go on where it was."""
    import time

    from fedmq import __version__
    from fedmq.cli.serving import configure, credentials_of, make_transport, stop_on_signals
    from fedmq.node.service import NodeService
    from fedmq.node.worker import Worker
    from fedmq.settings import read_settings
    from fedmq.types import NodeId

    _require_node()
    home = read_settings().node
    login = credentials_of(None, home / "credentials.toml")
    configure(as_json=json_logs)
    service = NodeService(
        node=NodeId(login.user),
        home=home,
        make_transport=make_transport(login, f"fedmq {__version__}"),
        make_worker=lambda sink: Worker(home / "scratch", sink),
        clock=time.time,
        version=__version__,
    )
    stop_on_signals(service.loop.stop)
    say(f"node {login.user} at {login.url}; Ctrl-C ends it, nothing is lost")
    service.run()


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show what this node has waiting, keeps, and turned away."""
    journal = _journal()
    rejected = journal.rows("SELECT reason, count(*) FROM rejected GROUP BY reason ORDER BY reason")
    counts = {
        name: int(journal.cell(f"SELECT count(*) FROM {table}") or 0)  # noqa: S608 - own names
        for name, table in (
            ("datasets", "datasets"),
            ("plans_awaiting", "plans WHERE decision = 'awaiting'"),
            ("tasks_waiting", "tasks"),
            ("unsent", "outbox"),
            ("payloads_awaited", "waiting"),
        )
    }
    reasons = {str(reason): int(count or 0) for reason, count in rejected}
    if as_json:
        show_json({**counts, "rejected": reasons})
        return
    for name, count in counts.items():
        show(f"{name.replace('_', ' '):<18}{count}")
    for reason, count in reasons.items():
        show(f"turned away       {count} x {reason}")
    if counts["plans_awaiting"]:
        next_command("fedmq node plans list")
    else:
        next_command("fedmq node data list", "fedmq node plans list")


@data.command("add")
def data_add(
    name: Dataset,
    folder: Annotated[Path, typer.Argument(help="One folder for each case")],
    *,
    clinical: Annotated[
        Path | None, typer.Option(help="The clinical table; default clinical.csv in the folder")
    ] = None,
) -> None:
    """Register a folder of cases, after reading every file."""
    import time

    from fedmq.node.datasets import Datasets

    inspection = Datasets(_journal()).add(
        name, folder, clinical, now=time.time(), progress=_progress
    )
    _show_inspection(name, inspection)
    next_command("fedmq node plans list", "fedmq node start")


@data.command("list")
def data_list(*, as_json: Json = False) -> None:
    """List the registered datasets."""
    from fedmq.node.datasets import Datasets

    known = Datasets(_journal()).all()
    if as_json:
        show_json(
            [{"name": one.name, "folder": str(one.folder), "cases": one.num_cases} for one in known]
        )
        return
    for one in known:
        show(f"{one.name:<24}{one.num_cases:>6} cases  {one.folder}")
    if not known:
        say("no dataset is registered")
    next_command("fedmq node data add NAME FOLDER")


@data.command("check")
def data_check(name: Dataset) -> None:
    """Read every file of a dataset again and say what is wrong; what is not is used from now on."""
    from fedmq.node.datasets import Datasets

    inspection = Datasets(_journal()).check(name, _progress)
    _show_inspection(name, inspection)
    if inspection.findings:
        raise typer.Exit(1)


@data.command("remove")
def data_remove(name: Dataset) -> None:
    """Forget a dataset; its files stay where they are."""
    from fedmq.node.datasets import Datasets

    Datasets(_journal()).remove(name)
    say(f"{name} is no dataset of this node any more; its files are untouched")


@plans.command("list")
def plans_list(*, as_json: Json = False) -> None:
    """List the plans that somebody wants to run here, those to decide on first."""
    from fedmq.node.plans import Plans

    journal = _journal()
    known = Plans(journal, _home() / "plans").all()
    if as_json:
        show_json(
            [
                {
                    "name": one.name,
                    "digest": one.digest,
                    "decision": one.decision,
                    "researcher": one.asked.researcher,
                    "experiment": one.asked.experiment,
                    "purpose": one.asked.purpose,
                    "reason": one.reason,
                }
                for one in known
            ]
        )
        return
    for one in known:
        who = f"{one.asked.researcher}: {one.asked.purpose}" if one.asked.researcher else ""
        show(f"{one.decision:<10}{one.name:<22}{one.digest[:12]}  {who}".rstrip())
    if not known:
        from fedmq.learning.catalogue import CATALOGUE

        say(f"nobody asked for a plan yet; the catalogue has {', '.join(sorted(CATALOGUE))}")
    next_command("fedmq node plans show PLAN", "fedmq node plans approve PLAN")


@plans.command("show")
def plans_show(plan: Plan) -> None:
    """Print what would run: who asked, the digest, and every line of the source."""
    from fedmq.node.plans import Plans

    store = Plans(_journal(), _home() / "plans")
    record = store.find(plan)
    say(f"plan        {record.name}  ({'shipped' if record.is_shipped else 'of the catalogue'})")
    say(f"digest      {record.digest}")
    say(f"decision    {record.decision} {record.reason}".rstrip())
    if record.asked.researcher:
        say(f"asked by    {record.asked.researcher} for {record.asked.experiment}")
        say(f"purpose     {record.asked.purpose}")
    show(store.source(record))
    next_command(
        f"fedmq node plans approve {record.digest[:12]}",
        f"fedmq node plans reject {record.digest[:12]} --reason TEXT",
    )


@plans.command("approve")
def plans_approve(plan: Plan) -> None:
    """Let exactly these bytes run on this node's data."""
    _decide(plan, "approved", "")


@plans.command("reject")
def plans_reject(
    plan: Plan, *, reason: Annotated[str, typer.Option(help="For your own records.")] = ""
) -> None:
    """Do not let these bytes run here."""
    _decide(plan, "rejected", reason)


def _decide(plan: str, decision: str, reason: str) -> None:
    import time

    from fedmq.node.plans import Plans
    from fedmq.node.policy import Decision

    store = Plans(_journal(), _home() / "plans")
    record = store.find(plan)
    store.decide(record, Decision(decision), reason, now=time.time())
    say(f"{record.name} {record.digest[:12]} is {decision} on this node")
    next_command("fedmq node plans list")


def _home() -> Path:
    from fedmq.settings import read_settings

    return read_settings().node


def _journal() -> "Journal":
    from fedmq.node.service import open_journal

    _require_node()
    return open_journal(_home())


def _require_node() -> None:
    from fedmq.errors import ConfigurationError

    if not (_home() / "credentials.toml").exists():
        raise ConfigurationError(
            "this machine is no node yet",
            why=f"{_home()} holds no credentials",
            fix="fedmq node init NAME --credentials FILE",
        )


def _progress(done: int, of: int) -> None:
    if done == of or done % 10 == 0:
        say(f"read {done} of {of} cases")


def _show_inspection(name: str, inspection: "Inspection") -> None:
    """Print what is wrong, then what there is; what only some cases lack is no fault, but told."""
    for finding in inspection.findings:
        show(f"{finding.case_id}: {finding.code}: {finding.text}")
    cases = inspection.cases
    show(f"{name}: {len(cases)} cases, {inspection.num_sound} without a finding")
    for modality in sorted({word for case in cases for word in case.volumes}):
        without = [case.case_id for case in cases if modality not in case.volumes]
        _show_count(modality, len(cases), without)
    _show_count("clinical", len(cases), [case.case_id for case in cases if not case.clinical])


def _show_count(what: str, num_cases: int, without: list[str]) -> None:
    count = num_cases - len(without)
    line = f"  {what:<10}{count}"
    if count and without:
        named, more = without[:_MAX_NAMED], len(without) - _MAX_NAMED
        line += "  not of " + ", ".join(named) + (f" and {more} more" if more > 0 else "")
    show(line)
