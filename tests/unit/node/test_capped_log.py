"""The capped log: small, newest kept, and never a reason to stop."""

from pathlib import Path

import numpy as np

from fedmq.node.capped_log import CappedLog


def test_a_log_keeps_its_newest_bytes(tmp_path: Path) -> None:
    """Both files stay within the cap, whatever the sizes; the end is what was written last."""
    log = CappedLog(tmp_path / "x.log", max_bytes=100)
    random = np.random.default_rng(7)
    written = b""
    for size in random.integers(1, 120, size=200):
        data = random.bytes(int(size))
        log.write(data)
        written += data
        files = [tmp_path / "x.log.1", tmp_path / "x.log"]
        kept = b"".join(path.read_bytes() for path in files if path.exists())
        assert len(kept) <= 100
        assert written.endswith((tmp_path / "x.log").read_bytes())


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """Its folder is gone, or the disk is full: the words are lost, the work goes on."""
    CappedLog(tmp_path / "missing" / "x.log").write(b"lost")
    assert not list(tmp_path.iterdir())
