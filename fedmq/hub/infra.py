"""The files of `infra/rabbitmq/` that are made from the code: configuration and definitions.

python -m fedmq.hub.infra [FOLDER] writes them anew; a test compares them with what is committed.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from fedmq.hub.configuration import PLUGINS, network_configuration
from fedmq.hub.definitions import make_definitions
from fedmq.hub.register import VHOST
from fedmq.transport import topology
from fedmq.types import NodeId, ResearcherId

FOLDER: Final = Path("infra/rabbitmq")
_EXAMPLE: Final = topology.federation(
    nodes=[NodeId("chu-lyon"), NodeId("ghu-paris")], researchers=[ResearcherId("r-one")]
)


def infra_files() -> dict[str, str]:
    """Return the text of each file by its name; the definitions hold no users."""
    definitions = make_definitions(VHOST, _EXAMPLE, users=[])
    return {
        "rabbitmq.conf": network_configuration(),
        "enabled_plugins": PLUGINS,
        "definitions.json": json.dumps(definitions, indent=2) + "\n",
    }


def main(arguments: list[str]) -> None:
    """Write the files into the folder that is named, or into that of this repository."""
    parser = argparse.ArgumentParser(
        prog="python -m fedmq.hub.infra",
        description="Writes the configuration and definitions of a hub's broker anew.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="default: %(default)s")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in infra_files().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
