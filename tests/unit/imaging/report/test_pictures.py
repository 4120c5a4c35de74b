"""Pictures: read back from the PNG by hand, they show the patient as a radiologist expects."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedmq.imaging.report.pictures import MAX_SIDE, draw_case
from fedmq.imaging.report.png import encode_png
from fedmq.imaging.volumes import Volume
from tests.support.whole_body import whole_body

OUTLINE = 255


def decode(png: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return pixels and palette of a PNG file whose rows are stored as they are."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks: dict[bytes, bytes] = {}
    place = 8
    while place < len(png):
        (size,) = struct.unpack(">I", png[place : place + 4])
        kind, content = png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        (checksum,) = struct.unpack(">I", png[place + 8 + size : place + 12 + size])
        assert checksum == zlib.crc32(kind + content)
        chunks[kind] = content
        place += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour, list(chunks)[-1]) == (8, 3, b"IEND")
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_a_png_holds_the_pixels_that_were_encoded(height: int, width: int, seed: int) -> None:
    """Chunks with their checksums, one palette, no filter."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width), np.uint8)
    palette = rng.integers(0, 256, (256, 3), np.uint8)
    read, colours = decode(encode_png(pixels, palette))
    np.testing.assert_array_equal(read, pixels)
    np.testing.assert_array_equal(colours, palette)


def spot(x: int, y: int, z: int, *, flip: bool = False) -> Volume:
    """Return a PET of air with one hot voxel, 40 x 30 x 60 voxels of 4 mm."""
    array = np.zeros((40, 30, 60), np.float32)
    array[x, y, z] = 12.0
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    if flip:  # the same patient, stored from the other side
        array = array[::-1]
        affine[0] = [-4.0, 0.0, 0.0, 39 * 4.0]
    return Volume(array=np.ascontiguousarray(array), affine=affine)


@pytest.mark.parametrize("flip", [False, True])
def test_the_patients_right_is_on_the_left_the_face_too_and_the_head_is_up(*, flip: bool) -> None:
    """A spot at the right, in front, above: dark there in both views, however it is stored."""
    coronal, sagittal = draw_case({"PET": spot(35, 25, 50, flip=flip)})
    assert (coronal.view, sagittal.view) == ("coronal", "sagittal")
    for picture in (coronal, sagittal):
        pixels, _ = decode(picture.png)
        assert pixels.shape == (picture.height, picture.width)
        row, column = np.unravel_index(int(pixels.argmin()), pixels.shape)
        assert pixels.min() < 60
        assert row < picture.height / 3
        assert column < picture.width / 3


def test_the_mask_is_outlined_and_what_it_marks_stays_to_be_seen() -> None:
    """Orange around two lesions, uptake within; without a mask there is none of that colour."""
    body = whole_body()
    for picture in draw_case(body):
        pixels, palette = decode(picture.png)
        red, green, blue = (int(one) for one in palette[OUTLINE])
        assert red > 2 * green > 2 * blue
        assert 20 < (pixels == OUTLINE).sum() < 0.05 * pixels.size
    del body["MASK"]
    for picture in draw_case(body):
        assert not (decode(picture.png)[0] == OUTLINE).any()


def test_uptake_is_dark_and_the_ct_is_under_it() -> None:
    """Bladder darker than lung; lung, which shines through, lighter than the trunk beside it."""
    body = whole_body()
    coronal, _ = draw_case(body)
    pixels = decode(coronal.png)[0].astype(int)

    def at(x_mm: float, z_mm: float) -> int:
        row = round((1 - z_mm / 960) * coronal.height)
        column = round((0.5 - x_mm / 480) * coronal.width)
        return int(pixels[row, column])

    assert at(0, 180) < 20 < at(85, 660)
    assert at(85, 300) < at(85, 660)
    assert at(0, 880) < at(85, 300)
    assert at(220, 500) > 240
    ct_alone = decode(draw_case({"CT": body["CT"]})[0].png)[0]
    assert ct_alone.min() < 200


def test_a_pet_on_another_scale_is_drawn_and_one_of_nothing_is_white() -> None:
    """In Bq/ml the highest value is black; an empty one has no division by nothing."""
    pet = whole_body()["PET"]
    for times in (3000.0, 0.001):
        scaled = Volume(array=pet.array * np.float32(times), affine=pet.affine)
        pixels = decode(draw_case({"PET": scaled})[0].png)[0]
        assert pixels.min() == 0
        assert np.median(pixels) > 200
    empty = Volume(array=pet.array * np.float32(0), affine=pet.affine)
    assert decode(draw_case({"PET": empty})[0].png)[0].min() == 254
    assert draw_case({}) == ()


def test_pictures_stay_small_however_far_apart_the_images_are() -> None:
    """An affine that is wrong by a kilometre costs no memory."""
    near = spot(1, 1, 1)
    far = Volume(array=near.array, affine=near.affine + np.array([[0, 0, 0, 1e6]] + [[0] * 4] * 3))
    for picture in draw_case({"PET": near, "CT": far}):
        assert max(picture.width, picture.height) <= MAX_SIDE
