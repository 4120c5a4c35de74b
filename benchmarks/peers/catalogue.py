"""The peers by name, and which of them somebody asks for."""

from pathlib import Path
from typing import Final, Protocol

from benchmarks.comparison import Load, Outcome
from benchmarks.peers.fedbiomed import FedBioMed
from benchmarks.peers.harness import Harness


class Peer(Protocol):
    """Another system."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    @property
    def has_tls(self) -> bool:
        """Whether its models travel by TLS."""

    def measure(self, folder: Path, load: Load) -> Outcome:
        """Return what it does under a load; `folder` has the harnesses."""


PEERS: Final[tuple[Peer, ...]] = (
    FedBioMed(),
    Harness(name="flare", script="nvflare/run.sh", environment="venv-nvflare", has_tls=True),
    Harness(
        name="flower-legacy", script="flower/run_legacy.sh", environment="venv-flwr", has_tls=False
    ),
    Harness(name="flower", script="flower/run.sh", environment="venv-flwr", has_tls=False),
)


def find_peers(words: str) -> tuple[Peer, ...]:
    """Return the peers that `all`, `none` or names with commas between them ask for.

    Raises:
        ValueError: a name is nobody's.
    """
    if words in {"all", "none"}:
        return PEERS if words == "all" else ()
    wanted = set(words.split(","))
    unknown = wanted - {peer.name for peer in PEERS}
    if unknown:
        known = ", ".join(peer.name for peer in PEERS)
        raise ValueError(f"{', '.join(sorted(unknown))}: no such peer; there are {known}")
    return tuple(peer for peer in PEERS if peer.name in wanted)
