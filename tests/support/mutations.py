"""Damaged and lying files, drawn from a seed: NIfTI volumes and clinical tables."""

import gzip
import random
import struct
from typing import Final

import nibabel
import numpy as np

_FIELDS: Final = tuple(
    (name, *field[:2]) for name, field in (nibabel.Nifti1Header.template_dtype.fields or {}).items()
)
_NUMBERS: Final = (0, 1, 2, -1, 3, 7, 127, 128, 255, 256, 348, 540, 2**15 - 1, -(2**15), 2**31 - 1)
_REALS: Final = (0.0, -1.0, 1e-30, 1e30, 3.4e38, float("nan"), float("inf"), -float("inf"), 352.0)
_BOMB: Final = gzip.compress(bytes(24 * 2**20), compresslevel=9)
_CELLS: Final = (
    b"",
    b'"',
    b";",
    b"\t",
    b"\x00",
    b"\xff",
    b"\n",
    b"\r",
    b"007",
    b"7",
    b"=1+1",
    b",",
)

TABLES: Final = (
    b"case_id,age,sex\nA,61,m\nB,62,f\n007,63,f\n",
    "\ufeffPatientID;Gr\u00f6\u00dfe;scan\r\nA;1,80;1\r\nA;1,80;2\r\nB;1,70;1\r\n\r\n".encode(),
    b"participant_id\tage\nsub-01\t61\nsub-02\tn/a\n",
    "case_id,name\nA,Zo\u00e9\n".encode("utf-16"),
    b'case_id,note\nA,"two\nlines"\nB,"a ""quote"""\n',
)


def sound_volume() -> bytes:
    """Return a small volume that no check finds fault with, not packed."""
    array = np.arange(216, dtype=np.int16).reshape(6, 6, 6)
    image = nibabel.Nifti1Image(array, None)
    image.header.set_sform(np.diag([4.0, 4.0, 4.0, 1.0]), code=1)
    return bytes(image.to_bytes())


def mutated_volume(chance: random.Random) -> tuple[str, bytes]:
    """Return a suffix and the content of a volume that is damaged, or whose header lies."""
    content = bytearray(sound_volume())
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        _spoil(chance, content)
    if chance.random() < 0.4:
        return ".nii", bytes(content)
    packed = bytearray(gzip.compress(bytes(content), compresslevel=1))
    match chance.randrange(8):
        case 0:
            packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        case 1:
            del packed[chance.randrange(len(packed)) :]
        case 2:
            return ".nii.gz", bytes(content) if chance.random() < 0.5 else chance.randbytes(400)
        case 3:
            packed += _BOMB
        case _:
            pass
    return ".nii.gz", bytes(packed)


def _spoil(chance: random.Random, content: bytearray) -> None:
    match chance.randrange(6):
        case 0 | 1 | 2:
            _lie(chance, content)
        case 3 if content:
            content[chance.randrange(len(content))] = chance.randrange(256)
        case 4 if content:
            del content[chance.randrange(len(content)) :]
        case _:
            content += chance.randbytes(chance.choice((1, 40, 5_000)))


def _lie(chance: random.Random, content: bytearray) -> None:
    """Put something into a field of the header that was not meant for it."""
    _, kind, offset = chance.choice(_FIELDS)
    if len(content) < nibabel.Nifti1Header.sizeof_hdr:
        return
    place = offset + chance.randrange(0, kind.itemsize, kind.base.itemsize)
    code = {"i1": "b", "u1": "B", "i2": "h", "i4": "i", "f4": "f"}.get(kind.base.str[1:])
    if code is None:
        content[place : place + kind.base.itemsize] = chance.randbytes(kind.base.itemsize)
    elif code == "f":
        content[place : place + 4] = struct.pack("<f", chance.choice(_REALS))
    else:
        bits = 8 * kind.base.itemsize
        number = chance.choice(_NUMBERS) % 2**bits
        content[place : place + kind.base.itemsize] = number.to_bytes(bits // 8, "little")


def mutated_table(chance: random.Random) -> bytes:
    """Return a clinical table as somebody, or some program, may have spoilt it."""
    content = bytearray(chance.choice(TABLES))
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(content)) if content else 0
        match chance.randrange(6):
            case 0:
                content[place:place] = chance.choice(_CELLS)
            case 1:
                content[place : place + 1] = chance.choice(_CELLS)
            case 2:
                del content[place:]
            case 3:
                lines = content.split(b"\n")
                lines.insert(chance.randrange(len(lines)), chance.choice(lines))
                content = bytearray(b"\n".join(lines))
            case 4:
                content = content.replace(chance.choice((b",", b";", b"\t")), b";")
            case _:
                content += chance.randbytes(chance.randrange(40))
    if chance.random() < 0.02:
        content = bytearray(chance.choice((b"PK\x03\x04", b"\xd0\xcf\x11\xe0"))) + content
    return bytes(content)
