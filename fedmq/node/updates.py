"""Updates: trained parameters minus the model that they came from, file to file, block by block.

Files are read piece by piece, never mapped: mapped pages would count as the node's memory, and a
file that gets shorter under a map would end the node.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from fedmq.encodings.arithmetic import Numbers
from fedmq.encodings.kinds import EXACT, Encoding
from fedmq.encodings.narrow import SentModel
from fedmq.encodings.residual import ResidualReader, ResidualWriter
from fedmq.encodings.writer import TooLargeError, UpdateWriter, WritableAt, working
from fedmq.errors import ParametersError, StorageError, TrainingError
from fedmq.messages.fields import Manifest
from fedmq.messages.replies import FailureCode
from fedmq.node.residuals import ResidualKey
from fedmq.node.storage import Storage
from fedmq.parameters import (
    Array,
    Readable,
    Tensor,
    blocks,
    file_layout,
    is_finite,
    read_slice,
    require_same_shapes,
    subtract_array,
)
from fedmq.types import Digest

BLOCK_ITEMS: Final = 256 * 1024
"""1 MiB of float32 of each file: as fast as any larger block, and small in memory; whole blocks of
every encoding."""


class JobError(TrainingError):
    """A job gave nothing that can be sent, for the reason `code`; the rest is for the site."""

    def __init__(self, code: FailureCode, what: str) -> None:
        super().__init__(what)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """Which residual an update begins with, and which one it leaves."""

    before: ResidualKey | None
    """None: nothing was left unsent, or what was may not be used any more."""
    after: ResidualKey


def make_update(
    name: str,
    reference: Digest,
    storage: Storage,
    encoding: Encoding = EXACT,
    feedback: Feedback | None = None,
    *,
    is_narrow: bool = False,
) -> Manifest:
    """Return the manifest of a task's update in the spool: trained parameters minus the reference.

    That is the model as it came: in fewer bytes where it `is_narrow`.

    With `feedback` what was left unsent before is added, and what is left unsent now is kept, both
    on the disk when this returns; done again, it makes the same bytes.

    The trainer checked its own output; this checks it again, outside the plan's process.

    Raises:
        JobError: the output is not there, does not fit, or is not finite, or has numbers that the
            encoding cannot carry.
        StorageError: the disk refuses; the update can be made when it does not.
    """
    target = f"{name}.update"
    if not storage.has_output(name):
        raise JobError(FailureCode.INTERNAL, "the trained parameters are not there")
    try:
        model = SentModel(storage.spool.file(reference), is_narrow=is_narrow)
        maker = _Maker(storage.output(name), model, storage, feedback)
        maker.write(encoding, storage.spool.new_file(target))
        if feedback is not None:
            storage.residuals.keep(feedback.after)
        return storage.spool.adopt(target)
    except (ParametersError, StorageError, JobError) as error:
        storage.discard(target)
        if feedback is not None:
            storage.residuals.discard(feedback.after)
        match error:
            case TooLargeError():
                raise JobError(FailureCode.UPDATE_NOT_FINITE, str(error)) from error
            case ParametersError():
                raise JobError(FailureCode.UPDATE_MISSHAPEN, str(error)) from error
            case _:
                raise


class _Maker:
    """Makes one update of trained parameters and the model that they came from."""

    def __init__(
        self, trained: Readable, model: SentModel, storage: Storage, feedback: Feedback | None
    ) -> None:
        """Read what the files have.

        Raises:
            ParametersError: they have different arrays.
        """
        self._trained, self._model = trained, model
        self._layout = model.layout
        self._local = {tensor.name: tensor for tensor in file_layout(trained).tensors}
        _require_same_arrays(self._local, {one.name: one for one in self._layout.tensors})
        self._before = self._after = None
        if feedback is not None:
            before = None if feedback.before is None else storage.residuals.find(feedback.before)
            self._before = None if before is None else ResidualReader(before, self._layout)
            self._after = ResidualWriter(self._layout, storage.residuals.new_file(feedback.after))

    def write(self, encoding: Encoding, file: WritableAt) -> None:
        """Write the update, and what it leaves unsent."""
        writer = UpdateWriter(self._layout, encoding, file)
        for tensor in self._layout.tensors:
            for piece in blocks(tensor.num_items, BLOCK_ITEMS):
                if self._after is None or not tensor.is_floating:
                    writer.write(tensor, piece[0], self._subtract(tensor, piece))
                else:
                    self._write_with_residual(writer, self._after, tensor, piece)

    def _write_with_residual(
        self,
        writer: UpdateWriter,
        after: ResidualWriter,
        tensor: Tensor,
        piece: tuple[int, int],
    ) -> None:
        learnt = working(tensor, self._subtract(tensor, piece))
        wanted = self._add_residual(tensor, piece, learnt)
        sent = writer.write(tensor, piece[0], wanted)
        after.write(tensor, piece[0], np.subtract(wanted, sent))

    def _subtract(self, tensor: Tensor, piece: tuple[int, int]) -> Array:
        after = read_slice(self._trained, self._local[tensor.name], *piece)
        before = self._model.read(tensor, *piece)
        with np.errstate(over="ignore", invalid="ignore"):  # found by the next line, as what came
            update = subtract_array(after, before)
        _require_finite(tensor, update)
        return update

    def _add_residual(self, tensor: Tensor, piece: tuple[int, int], numbers: Numbers) -> Numbers:
        if self._before is None:
            return numbers
        with np.errstate(over="ignore"):
            wanted: Numbers = numbers + self._before.read(tensor, *piece)
        _require_finite(tensor, wanted)
        return wanted


def _require_finite(tensor: Tensor, numbers: Array) -> None:
    if not is_finite(numbers):
        what = f"array {tensor.name!r} holds NaN or infinity"
        raise JobError(FailureCode.UPDATE_NOT_FINITE, what)


def _require_same_arrays(local: dict[str, Tensor], before: dict[str, Tensor]) -> None:
    require_same_shapes(local, before)
    for name in sorted(before):
        if local[name].dtype != before[name].dtype:
            raise ParametersError(
                f"array {name!r} has type {local[name].dtype}, declared {before[name].dtype}"
            )
