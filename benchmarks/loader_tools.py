"""What each loader does with the same cases, in a process of its own; `loaders` starts them.

    python -m benchmarks.loader_tools TOOL FOLDER WORKERS EPOCHS

The first epoch: PET and CT on the PET's grid, scaled to 0 to 1, one patch of each case. Later ones:
a patch of each case. All go through the cases in order and take patches anywhere.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 96
"""Of a patch, in voxels."""
SUV: Final = (0.0, 20.0)
HU: Final = (-160.0, 240.0)
Floats = NDArray[np.float32]
Pair = tuple[Path, Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a tool is given."""

    pairs: tuple[Pair, ...]
    """PET and CT of each case."""
    workers: int
    epochs: int
    """After the first."""
    folder: Path
    """For what it keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """How long a tool took."""

    first_s: float
    """Of the first epoch, per case."""
    patch_ms: tuple[float, ...]
    """Of each later epoch, per patch."""


def main() -> None:
    """Print how long the tool of the command line took, as JSON."""
    name, folder, workers, epochs = sys.argv[1:]
    pairs = tuple(
        (place / "PET.nii.gz", place / "CT.nii.gz") for place in sorted(Path(folder).iterdir())
    )
    with tempfile.TemporaryDirectory(prefix="fedmq-loaders-") as kept:
        given = Given(pairs=pairs, workers=int(workers), epochs=int(epochs), folder=Path(kept))
        timed = TOOLS[name](given)
    print(json.dumps({"first_s": timed.first_s, "patch_ms": timed.patch_ms}))


def _limit(given: Given) -> Timed:
    """Inflate both files in one call each, and resample the CT as fedmq does: nothing else."""
    from isal import isal_zlib

    from fedmq.imaging.interpolation import interpolate

    places = [_affine_and_shape(path) for pair in given.pairs for path in pair]

    def work(number: int) -> None:
        pet, ct = given.pairs[number]
        (to_mm, shape), (ct_to_mm, ct_shape) = places[2 * number : 2 * number + 2]
        isal_zlib.decompress(pet.read_bytes(), 31)
        content = isal_zlib.decompress(ct.read_bytes(), 31)
        voxels = np.frombuffer(content, "<i2", offset=352).reshape(ct_shape, order="F")
        to_source = np.linalg.inv(ct_to_mm) @ to_mm
        x, y, z = (max(1, int(ratio)) for ratio in np.abs(np.diag(to_source)[:3]))
        interpolate(voxels, to_source, shape, (x, y, z))

    return Timed(first_s=_first_epoch(work, given), patch_ms=())


def _fedmq(given: Given) -> Timed:
    """Read through a cache, by as many threads as a trainer has."""
    from fedmq.imaging.cache import CaseCache
    from fedmq.imaging.cases import Case
    from fedmq.imaging.patches import draw_patches
    from fedmq.imaging.preprocessing import Frame
    from fedmq.learning.case_arrays import CaseArrays, CaseMemory

    memory = CaseMemory()
    memory.keep_in(CaseCache(given.folder, limit_bytes=2**40, reserve_bytes=0))
    arrays = CaseArrays(Frame(), memory=memory)
    cases = [
        Case(case_id=str(number), volumes={"PET": pet, "CT": ct}, clinical={})
        for number, (pet, ct) in enumerate(given.pairs)
    ]
    rng = np.random.default_rng(1)

    def epoch() -> None:
        size = given.workers
        for first in range(0, len(cases), size):
            for stored in arrays.stored_all(cases[first : first + size], num_readers=size):
                (patch,) = draw_patches(stored, (SIDE,) * 3, count=1, lesion_share=0.0, rng=rng)
                _look(patch.images)

    return _epochs(epoch, given)


def _plain(given: Given) -> Timed:
    """What nibabel and scipy do by themselves, in threads; nothing is kept."""
    rng = np.random.default_rng(1)

    def epoch() -> None:
        with ThreadPoolExecutor(given.workers) as pool:
            for images in pool.map(_read_plainly, given.pairs):
                _look(_patch(images, rng))

    return _epochs(epoch, given, most=1)


def _kept(given: Given) -> Timed:
    """What plain nibabel made, all of it in memory as float32: how fast memory is."""
    rng = np.random.default_rng(1)
    kept: list[Floats] = []

    def epoch() -> None:
        if not kept:
            with ThreadPoolExecutor(given.workers) as pool:
                kept.extend(pool.map(_read_plainly, given.pairs))
        for images in kept:
            _look(_patch(images, rng))

    return _epochs(epoch, given)


def _monai_persistent(given: Given) -> Timed:
    """MONAI's PersistentDataset, in a process for each worker."""
    from monai.data.dataset import PersistentDataset
    from torch.utils.data import DataLoader

    dataset = PersistentDataset(_monai_items(given), _monai_transform(), cache_dir=given.folder)
    loader: Iterable[Any] = DataLoader(
        dataset, batch_size=1, num_workers=given.workers, persistent_workers=True
    )
    return _epochs(lambda: _go_through(loader), given)


def _monai_cache(given: Given) -> Timed:
    """MONAI's CacheDataset, filled by threads; patches in this process, which copies no case."""
    from monai.data.dataset import CacheDataset
    from torch.utils.data import DataLoader

    loaders: list[Iterable[Any]] = []

    def epoch() -> None:
        if not loaders:
            dataset = CacheDataset(
                _monai_items(given), _monai_transform(), num_workers=given.workers, progress=False
            )
            loaders.append(DataLoader(dataset, batch_size=1, num_workers=0))
        _go_through(loaders[0])

    return _epochs(epoch, given)


def _torchio(given: Given) -> Timed:
    """TorchIO's Queue with a process for each worker; it reads and resamples in every epoch."""
    import torch
    import torchio
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    subjects = [
        torchio.Subject(pet=torchio.ScalarImage(pet), ct=torchio.ScalarImage(ct))
        for pet, ct in given.pairs
    ]
    steps = [torchio.Resample("pet")]
    for name, bounds in (("pet", SUV), ("ct", HU)):
        steps += [
            torchio.Clamp(*bounds, include=[name]),
            torchio.RescaleIntensity((0, 1), in_min_max=bounds, include=[name]),
        ]
    dataset = torchio.SubjectsDataset(subjects, transform=torchio.Compose(steps))
    several = 4  # patches of a volume while it is there: its way to pay for reading it

    def epoch() -> None:
        patches = torchio.Queue(
            dataset,
            max_length=several * given.workers,
            samples_per_volume=several,
            sampler=torchio.UniformSampler(SIDE),
            num_workers=given.workers,
        )
        for batch in DataLoader(patches, batch_size=1, num_workers=0):
            _look(batch["pet"][torchio.DATA].numpy())

    return _epochs(epoch, given, most=1, patches=several)


TOOLS: Final = {
    "limit": _limit,
    "fedmq": _fedmq,
    "monai_persistent": _monai_persistent,
    "monai_cache": _monai_cache,
    "torchio": _torchio,
    "plain": _plain,
    "memory": _kept,
}


def _monai_items(given: Given) -> list[dict[str, str]]:
    return [{"pet": str(pet), "ct": str(ct)} for pet, ct in given.pairs]


def _monai_transform() -> Callable[[Any], Any]:
    import torch
    from monai.transforms.compose import Compose
    from monai.transforms.croppad.dictionary import RandSpatialCropd
    from monai.transforms.intensity.dictionary import ScaleIntensityRanged
    from monai.transforms.io.dictionary import LoadImaged
    from monai.transforms.spatial.dictionary import ResampleToMatchd
    from monai.transforms.utility.dictionary import ConcatItemsd, DeleteItemsd

    torch.set_num_threads(1)
    made: Callable[[Any], Any] = Compose(
        [
            LoadImaged(["pet", "ct"], ensure_channel_first=True),
            ResampleToMatchd("ct", key_dst="pet", mode="bilinear", padding_mode="border"),
            ScaleIntensityRanged("pet", *SUV, 0, 1, clip=True),
            ScaleIntensityRanged("ct", *HU, 0, 1, clip=True),
            ConcatItemsd(["pet", "ct"], "image"),
            DeleteItemsd(["pet", "ct"]),
            RandSpatialCropd("image", (SIDE,) * 3, random_size=False),
        ]
    )
    return made


def _go_through(loader: Iterable[Any]) -> None:
    for batch in loader:
        _look(batch["image"].numpy())


def _read_plainly(pair: Pair) -> Floats:
    import nibabel
    from scipy import ndimage

    pet, ct = (nibabel.Nifti1Image.from_filename(path) for path in pair)
    to_source = np.linalg.inv(ct.affine) @ pet.affine
    # scipy's own fast path for straight axes: it is given the diagonal.
    hu = ndimage.affine_transform(
        np.asanyarray(ct.dataobj),
        np.diag(to_source[:3, :3]),
        to_source[:3, 3],
        output_shape=pet.shape,
        order=1,
        mode="nearest",
        output=np.float32,
    )
    images = np.stack([np.asanyarray(pet.dataobj, dtype=np.float32), hu])
    for image, (low, high) in zip(images, (SUV, HU), strict=True):
        scaled = np.clip(image, low, high, out=image)
        scaled -= low
        scaled /= high - low
    return images


def _patch(images: Floats, rng: np.random.Generator) -> Floats:
    corner = [int(rng.integers(0, length - SIDE)) for length in images.shape[1:]]
    return np.ascontiguousarray(images[:, *(slice(one, one + SIDE) for one in corner)])


def _look(patch: NDArray[Any]) -> None:
    """Touch a patch, so that nothing is left for later."""
    if patch.shape[-3:] != (SIDE,) * 3 or not float(patch.ravel()[:: SIDE * SIDE].sum()) >= 0.0:
        raise ValueError(patch.shape)


def _first_epoch(work: Callable[[int], None], given: Given) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(given.workers) as pool:
        list(pool.map(work, range(len(given.pairs))))
    return (time.perf_counter() - began) / len(given.pairs)


def _epochs(
    epoch: Callable[[], None], given: Given, *, most: int = 1_000, patches: int = 1
) -> Timed:
    """Return the times of the first epoch and of later ones, at most so many."""
    took = []
    for _ in range(1 + min(most, given.epochs)):
        began = time.perf_counter()
        epoch()
        took.append((time.perf_counter() - began) / len(given.pairs))
    return Timed(first_s=took[0], patch_ms=tuple(1e3 * one / patches for one in took[1:]))


def _affine_and_shape(path: Path) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    import nibabel

    image = nibabel.Nifti1Image.from_filename(path)
    x, y, z = image.shape
    return image.affine, (x, y, z)


if __name__ == "__main__":
    main()
