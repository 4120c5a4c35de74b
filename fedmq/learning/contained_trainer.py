"""A trainer in a cell: `python -m fedmq.learning.contained_trainer CELL_FILE NODE_PID`.

It is confined before anything else is imported: a library may start threads, and a thread that is
there already would not be.
"""

import sys
from pathlib import Path

from fedmq.containment.cell import parse_cell
from fedmq.containment.confine import confine


def main() -> int:
    """Put on the cell, then answer jobs until stdin ends; return the exit status."""
    path, node = sys.argv.pop(1), int(sys.argv.pop(1))
    try:
        confine(parse_cell(Path(path).read_text(encoding="utf-8")), node)
    except OSError as error:
        sys.stderr.write(f"trainer: it could not be contained, and was not run: {error}\n")
        return 1
    from fedmq.learning import trainer  # numpy starts threads

    return trainer.main()


if __name__ == "__main__":
    sys.exit(main())
