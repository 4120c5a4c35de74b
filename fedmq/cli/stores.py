"""The stores of this machine's orchestrators: which there are, and whose each is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.console import typed

if TYPE_CHECKING:
    from fedmq.settings import Settings

OWNER: Final = "owner"
"""The file in a store that names its orchestrator."""

Credentials = Annotated[
    Path | None,
    typer.Option(
        help="The file that the hub wrote for the orchestrator; default orchestrator.toml in the "
        "hub's folder."
    ),
]
Name = Annotated[
    str, typer.Option(help="The orchestrator's name, where its credentials are not here any more.")
]


def find_credentials(credentials: Path | None) -> Path:
    """Return the file of an orchestrator's credentials."""
    from fedmq.settings import read_settings

    return credentials or read_settings().hub / "credentials" / "orchestrator.toml"


def own_words(credentials: Path | None, name: str = "") -> str:
    """Return the options by which a next command speaks of the same orchestrator."""
    if name:
        return f" --name {name}"
    return "" if credentials is None else f" --credentials {typed(credentials)}"


def find_stores(settings: "Settings") -> tuple[tuple[str, Path], ...]:
    """Return the stores in which an orchestrator has run, each with its orchestrator's name."""
    from fedmq.transport.home import JOURNAL_NAME
    from fedmq.types import ORCHESTRATOR

    names = [ORCHESTRATOR, *(path.name for path in sorted(settings.orchestrators.glob("*")))]
    found = ((name, settings.orchestrator_of(name)) for name in names)
    return tuple((name, folder) for name, folder in found if (folder / JOURNAL_NAME).exists())


def require_store(credentials: Path | None, name: str = "") -> Path:
    """Return the store of an orchestrator that has run here.

    Raises:
        ConfigurationError: it has not, or the credentials cannot be read.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.hub.credentials import read_credentials
    from fedmq.settings import read_settings
    from fedmq.types import ORCHESTRATOR, Role, parse_id

    if credentials is not None and name:
        raise typer.BadParameter("name the orchestrator or its credentials, not both")
    if credentials is not None:
        name = read_credentials(credentials, Role.ORCHESTRATOR).user
    settings, name = read_settings(), parse_id(name or ORCHESTRATOR, kind=Role.ORCHESTRATOR)
    stores = dict(find_stores(settings))
    if name not in stores:
        others = [one for one in stores if one != ORCHESTRATOR]
        fix = "fedmq orchestrator start, or ask where it runs: that is another FEDMQ_HOME"
        raise ConfigurationError(
            f"no orchestrator{'' if name == ORCHESTRATOR else f' {name}'} has run here yet",
            why=f"{settings.orchestrator_of(name)} holds no journal",
            fix=fix + (f"; here have run, by --name: {', '.join(others)}" if others else ""),
        )
    return stores[name]


def claim_store(folder: Path, name: str) -> None:
    """The store in a folder is of the orchestrator of this name, from now on or since before.

    A store without a name that somebody has used is of the one that every hub has: when it was
    begun there were no others.

    Raises:
        ConfigurationError: it is another's.
        StorageError: the disk refuses.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.hub.files import replace_file

    owner = _find_owner(folder)
    if not owner:
        replace_file(folder / OWNER, f"{name}\n")
    elif owner != name:
        raise ConfigurationError(
            f"{name} cannot lead in {folder}",
            why=f"the store there is that of {owner}, and what it keeps is for the keys of {owner}",
            fix=f"start {owner} there, with its own credentials; or move that folder away, and "
            f"{name} begins one of its own",
        )


def _find_owner(folder: Path) -> str:
    from fedmq.errors import StorageError
    from fedmq.transport.home import JOURNAL_NAME
    from fedmq.types import ORCHESTRATOR

    try:
        owner = (folder / OWNER).read_text(errors="replace").strip()
    except FileNotFoundError:
        owner = ""
    except OSError as error:
        raise StorageError(
            f"the file {folder / OWNER} cannot be read",
            why=error.strerror or str(error),
            fix="let the user who runs the orchestrator read it",
        ) from error
    return owner or (ORCHESTRATOR if (folder / JOURNAL_NAME).exists() else "")
