"""File systems that several machines may see: SQLite needs to know. Pure."""

import re
from pathlib import PurePath, PurePosixPath
from typing import Final

SHARED: Final = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.sshfs",
        "gfs2",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
    }
)
"""The types, as Linux names them."""
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def is_shared(path: PurePath, mounts: str) -> bool:
    """Return whether other machines may see a path, by the text of /proc/self/mountinfo.

    See proc_pid_mountinfo(5): the mount point is the fifth field, the type the first after `-`.
    """
    best: tuple[int, str] = (-1, "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or not kinds:  # noqa: PLR2004 - the fifth field
            continue
        point = PurePosixPath(_OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4]))
        # Of two at one place the later one hides the earlier.
        if path.is_relative_to(point) and len(point.parts) >= best[0]:
            best = (len(point.parts), kinds[0])
    return best[1] in SHARED
