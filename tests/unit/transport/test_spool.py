"""The spool: chunks in any order, over any number of lives, and only whole payloads."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.disk import LocalDisk
from fedmq.errors import ProtocolError, StorageError
from fedmq.messages.fields import Manifest
from fedmq.messages.payloads import Chunk, chunk_hash, make_manifest
from fedmq.transport.spool import Spool
from fedmq.types import Digest

SIZE = 16
PAYLOAD = bytes(range(75))
PARTS = [PAYLOAD[start : start + SIZE] for start in range(0, len(PAYLOAD), SIZE)]
MANIFEST = make_manifest(PARTS, chunk_bytes=SIZE)
DIGEST = Digest(MANIFEST.digest)


class Killed(BaseException):
    """The process was killed here."""


class ForgetfulDisk:
    """A disk that a crash robs of what was not synced: lost, kept or torn, as it is told."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.durable: dict[str, bytes] = {}
        self.num_syncs = 0
        self.room_bytes = 10**9
        self.fails_at = ""

    def path(self, name: str) -> Path:
        """Return nothing: this disk has no files that others could read."""
        raise NotImplementedError(name)

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return a part of a file."""
        return bytes(self.files[name][offset : offset + size_bytes])

    def write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write while there is room."""
        if len(data) > self.room_bytes:
            raise StorageError("the disk is full")
        file = self.files.setdefault(name, bytearray())
        file.extend(bytes(max(0, offset + len(data) - len(file))))
        file[offset : offset + len(data)] = data

    def sync(self, name: str) -> None:
        """Keep the file as it is, under its name of now."""
        self.num_syncs += 1
        if self.fails_at == "sync":
            raise StorageError("the disk failed")
        if self.fails_at == "kill":
            raise Killed
        self.durable[name] = bytes(self.files[name])

    def sync_names(self) -> None:
        """Names are durable as they change."""
        self.num_syncs += 1
        if self.fails_at == "names":
            raise StorageError("the disk failed")

    def rename(self, old: str, new: str) -> None:
        """Rename; the durable name changes with it, as on a journalling file system."""
        self.files[new] = self.files.pop(old)
        if old in self.durable:
            self.durable[new] = self.durable.pop(old)

    def link(self, name: str, other: object, new: str) -> None:
        """Link nothing: payloads of a spool have one name."""
        raise NotImplementedError(name, other, new)

    def remove(self, name: str) -> None:
        """Remove."""
        self.files.pop(name, None)
        self.durable.pop(name, None)

    def size_bytes(self, name: str) -> int | None:
        """Return the length."""
        return len(self.files[name]) if name in self.files else None

    def names(self) -> tuple[str, ...]:
        """Return the names."""
        return tuple(sorted(self.files))

    def crash(self, keep: float) -> None:
        """Lose of every unsynced file all after the share `keep` of its bytes."""
        for name, file in list(self.files.items()):
            if self.durable.get(name) != bytes(file):
                self.files[name] = file[: int(len(file) * keep)]


def a_chunk(index: int, manifest: Manifest = MANIFEST) -> Chunk:
    """Return the header of a chunk of the payload."""
    return Chunk(manifest=manifest, index=index, sha256=chunk_hash(PARTS[index]))


def test_a_chunk_that_is_not_what_its_header_says_is_not_kept() -> None:
    """Nothing was written; the true one that comes later counts."""
    disk = ForgetfulDisk()
    spool = Spool(disk)
    altered = bytes([PARTS[0][0] ^ 1]) + PARTS[0][1:]
    with pytest.raises(ProtocolError, match="chunk hash"):
        spool.add(a_chunk(0), altered)
    assert disk.names() == ()
    assert spool.missing(MANIFEST) == tuple(range(len(PARTS)))
    for index, part in enumerate(PARTS):
        spool.add(a_chunk(index), part)
    assert bytes(disk.files[DIGEST]) == PAYLOAD


@given(st.lists(st.integers(0, len(PARTS) - 1), max_size=20), st.permutations(range(len(PARTS))))
def test_chunks_make_the_payload_in_any_order_and_any_number(
    before: list[int], order: list[int]
) -> None:
    """Repeats and reorder leave the same bytes, and nothing but the payload on the disk."""
    disk = ForgetfulDisk()
    spool = Spool(disk)
    for index in [*before, *order]:
        whole = spool.add(a_chunk(index), PARTS[index])
        assert whole == (not spool.missing(MANIFEST))
    assert spool.has(DIGEST)
    assert disk.names() == (DIGEST,)
    assert bytes(disk.files[DIGEST]) == PAYLOAD == disk.durable[DIGEST]
    assert disk.num_syncs == 2, "its bytes before it has its name, then the name"


@given(
    st.lists(st.integers(0, len(PARTS) - 1), unique=True, max_size=len(PARTS) - 1), st.floats(0, 1)
)
def test_a_life_that_follows_a_crash_keeps_what_is_whole_and_asks_for_the_rest(
    came: list[int], keep: float
) -> None:
    """However much of the unsynced bytes is lost or torn, the payload comes out right."""
    disk = ForgetfulDisk()
    first = Spool(disk)
    for index in came:
        first.add(a_chunk(index), PARTS[index])
    disk.crash(keep)
    second = Spool(disk)
    missing = second.missing(MANIFEST)
    assert set(range(len(PARTS))) - set(came) <= set(missing)
    for index in missing:
        second.add(a_chunk(index), PARTS[index])
    assert bytes(disk.files[DIGEST]) == PAYLOAD


def test_a_process_that_was_only_killed_finds_every_chunk_again() -> None:
    """A kill loses no written byte, so nothing is asked for twice."""
    disk = ForgetfulDisk()
    for index in (0, 3):
        Spool(disk).add(a_chunk(index), PARTS[index])
    assert Spool(disk).missing(MANIFEST) == (1, 2, 4)


def test_chunks_that_do_not_make_the_digest_are_thrown_away() -> None:
    """Chunks that are each right in themselves, under a manifest that is not theirs."""
    lie = Manifest(digest="00" * 32, size_bytes=len(PAYLOAD), chunk_bytes=SIZE)
    disk = ForgetfulDisk()
    spool = Spool(disk)
    for index in range(len(PARTS) - 1):
        spool.add(a_chunk(index, lie), PARTS[index])
    with pytest.raises(ProtocolError) as caught:
        spool.add(a_chunk(len(PARTS) - 1, lie), PARTS[-1])
    assert caught.value.reason == "payload_digest"
    assert disk.names() == ()
    assert len(spool.missing(lie)) == len(PARTS)


def test_a_chunk_of_another_length_is_refused_and_stays_missing() -> None:
    """Before a byte is written; whether it is what was sent, the wire has looked."""
    disk = ForgetfulDisk()
    spool = Spool(disk)
    with pytest.raises(ProtocolError, match="chunk length"):
        spool.add(a_chunk(1), bytes(SIZE + 1))
    assert disk.names() == ()
    assert 1 in spool.missing(MANIFEST)


def test_one_digest_with_two_sizes_is_two_payloads_of_which_one_can_be_whole() -> None:
    """A second manifest cannot widen a payload that is under way."""
    spool = Spool(ForgetfulDisk())
    spool.add(a_chunk(0), PARTS[0])
    wider = Manifest(digest=MANIFEST.digest, size_bytes=10 * SIZE, chunk_bytes=SIZE)
    assert spool.missing(wider) == tuple(range(10))
    for index, part in enumerate(PARTS):
        spool.add(a_chunk(index), part)
    assert spool.file(DIGEST).size_bytes == len(PAYLOAD)


def test_a_chunk_that_lies_about_its_payloads_size_keeps_no_payload_out() -> None:
    """A turned bit in a header, and it came first: in the same life, and in the next one."""
    disk = ForgetfulDisk()
    wider = Manifest(digest=MANIFEST.digest, size_bytes=10 * SIZE, chunk_bytes=SIZE)
    lie = a_chunk(1).model_copy(update={"manifest": wider})
    Spool(disk).add(lie, PARTS[1])
    for spool in (Spool(disk), Spool(disk)):
        spool.add(lie, PARTS[1])
        assert spool.missing(MANIFEST) == (0, 1, 2, 3, 4)
    for index, part in enumerate(PARTS):
        spool.add(a_chunk(index), part)
    assert spool.has(DIGEST)
    spool.remove(DIGEST)
    assert disk.files == {}


def test_a_full_disk_loses_nothing_that_came_before() -> None:
    """The chunk counts as not come, and comes again when there is room."""
    disk = ForgetfulDisk()
    spool = Spool(disk)
    spool.add(a_chunk(0), PARTS[0])
    disk.room_bytes = 0
    with pytest.raises(StorageError):
        spool.add(a_chunk(1), PARTS[1])
    disk.room_bytes = 10**9
    assert spool.missing(MANIFEST) == (1, 2, 3, 4)
    for index in spool.missing(MANIFEST):
        spool.add(a_chunk(index), PARTS[index])
    assert spool.has(DIGEST)


def test_a_life_that_ended_before_the_payload_had_its_name_is_made_good() -> None:
    """All chunks are there and none will come again: looking for what is missing finishes it."""
    disk = ForgetfulDisk()
    spool = Spool(disk)
    for index in range(len(PARTS) - 1):
        spool.add(a_chunk(index), PARTS[index])
    disk.fails_at = "kill"
    with pytest.raises(Killed):
        spool.add(a_chunk(len(PARTS) - 1), PARTS[-1])
    disk.fails_at = ""
    again = Spool(disk)
    assert not again.has(DIGEST)
    assert again.missing(MANIFEST) == ()
    assert again.has(DIGEST)
    assert disk.names() == (DIGEST,)


@pytest.mark.parametrize("fails_at", ["sync", "names"])
def test_a_sync_that_failed_is_not_made_good_by_the_next_one(fails_at: str) -> None:
    """Linux forgets what it could not write, and says yes to the next sync: all comes again."""
    disk = ForgetfulDisk()
    spool = Spool(disk)
    for index in range(len(PARTS) - 1):
        spool.add(a_chunk(index), PARTS[index])
    disk.fails_at = fails_at
    with pytest.raises(StorageError):
        spool.add(a_chunk(len(PARTS) - 1), PARTS[-1])
    disk.fails_at = ""
    again = Spool(disk)
    assert disk.names() == ()
    assert again.missing(MANIFEST) == tuple(range(len(PARTS)))


def test_what_a_payload_lacks_is_known_from_its_notes() -> None:
    """All of it at first, then less with every chunk; nothing once it is whole."""
    disk = ForgetfulDisk()
    spool = Spool(disk)
    lacking = [spool.lacking_bytes(MANIFEST)]
    for index in (3, 0, 4, 1, 2):
        spool.add(a_chunk(index), PARTS[index])
        lacking.append(Spool(disk).lacking_bytes(MANIFEST))
    assert lacking == [75, 59, 43, 27, 11, 0]


def test_on_a_real_folder_the_payload_is_the_file(tmp_path: Path) -> None:
    """The same on the machine's own disk, over two lives."""
    folder = tmp_path / "spool"
    for index in (4, 0, 2):
        Spool(LocalDisk(folder)).add(a_chunk(index), PARTS[index])
    spool = Spool(LocalDisk(folder))
    for index in spool.missing(MANIFEST):
        spool.add(a_chunk(index), PARTS[index])
    assert [path.name for path in folder.iterdir()] == [DIGEST]
    assert (folder / DIGEST).read_bytes() == PAYLOAD
    spool.remove(DIGEST)
    assert not spool.has(DIGEST)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    """What, why and the fix, instead of a bare system error."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError) as caught:
        LocalDisk(tmp_path / "file" / "spool")
    assert caught.value.why
    assert caught.value.fix


def test_a_file_made_here_becomes_a_payload_with_the_digest_that_its_receiver_computes(
    tmp_path: Path,
) -> None:
    """Adopted at the sender, its chunks make the same payload at the receiver."""
    disk = LocalDisk(tmp_path / "sender")
    disk.write("made", 0, PAYLOAD)
    sender, receiver = Spool(disk), Spool(LocalDisk(tmp_path / "receiver"))
    manifest = sender.adopt("made")
    chunk, data = sender.chunk(manifest, 0)
    assert receiver.add(chunk, data)
    assert receiver.path(manifest.digest).read_bytes() == PAYLOAD
    assert disk.size_bytes("made") is None


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 75])
@pytest.mark.parametrize("piece", [1, 7, 16, 50])
def test_a_file_is_hashed_as_it_is_written_and_not_read_again(
    tmp_path: Path, size: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest is the one of a file that another program wrote, however it was cut."""
    content = PAYLOAD[:size]
    disk = LocalDisk(tmp_path)
    spool = Spool(disk, chunk_bytes=SIZE)
    disk.write("other", 0, content)
    expected = spool.adopt("other")
    file = spool.new_file("made")
    file.write(b"")
    for start in range(0, size, piece):
        file.write(content[start : start + piece])
    file.write(b"")
    monkeypatch.setattr(LocalDisk, "read", None)
    assert spool.adopt("made") == expected


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1), (0, 1, 0, 2)])
def test_a_file_that_is_not_written_in_order_is_hashed_as_it_stands(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    """Encodings write numbers and their scales side by side; what is written twice counts last."""
    spool = Spool(LocalDisk(tmp_path), chunk_bytes=SIZE)
    file = spool.new_file("made")
    for number, place in enumerate(order):
        is_last = place not in order[number + 1 :]
        file.write_at(place * 20, PAYLOAD[place * 20 :][:20] if is_last else bytes(20))
    expected = [PAYLOAD[:60][start : start + SIZE] for start in range(0, 60, SIZE)]
    assert spool.adopt("made") == make_manifest(expected, chunk_bytes=SIZE)


def test_what_is_written_anew_is_hashed_anew(tmp_path: Path) -> None:
    """A disk was full in the middle; the next attempt has other bytes."""
    spool = Spool(LocalDisk(tmp_path), chunk_bytes=SIZE)
    spool.new_file("made").write(PAYLOAD[:40])
    spool.discard("made")
    spool.new_file("made").write(PAYLOAD[:32])
    digest = spool.adopt("made").digest
    assert digest == make_manifest(PARTS[:2], chunk_bytes=SIZE).digest


@pytest.mark.parametrize("suffix", ["part", "have"])
def test_files_that_lost_their_end_give_what_is_whole_and_the_rest_comes_again(
    tmp_path: Path, suffix: str
) -> None:
    """For every length of the payload's file and of the notes beside it."""
    disk = LocalDisk(tmp_path)
    piece = SIZE if suffix == "part" else 32
    for length in range(4 * piece + 1):
        first = Spool(disk)
        for index in (1, 0, 3, 2):
            first.add(a_chunk(index), PARTS[index])
        os.truncate(tmp_path / f"{DIGEST}.{len(PAYLOAD)}-{SIZE}.{suffix}", length)
        spool = Spool(disk)
        missing = spool.missing(MANIFEST)
        assert missing == tuple(range(length // piece, len(PARTS)))
        for index in missing:
            spool.add(a_chunk(index), PARTS[index])
        assert (tmp_path / DIGEST).read_bytes() == PAYLOAD
        spool.remove(DIGEST)


class Listed(ForgetfulDisk):
    """A disk that counts how often its names are read."""

    num_lists = 0

    def names(self) -> tuple[str, ...]:
        """Count, and return the names."""
        self.num_lists += 1
        return super().names()


def test_many_payloads_are_removed_with_one_look_at_the_folder() -> None:
    """A round's updates are a thousand files: to read all their names for each is a million."""
    disk = Listed()
    digests = [Digest(f"{number:064x}") for number in range(20)]
    for digest in digests:
        disk.write(digest, 0, b"x")
    Spool(disk).remove(*digests[1:])
    assert disk.num_lists == 1
    assert disk.names() == (digests[0],)
