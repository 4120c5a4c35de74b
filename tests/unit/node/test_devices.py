"""Devices: what a node cannot compute on is refused before it starts, never replaced in silence."""

from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError
from fedmq.node.devices import require_device
from fedmq.settings import Settings, read_settings


def test_processors_are_what_tasks_compute_on() -> None:
    """And nobody has to say so."""
    assert Settings().task_device == "cpu"
    require_device("cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
@pytest.mark.parametrize(("there", "why"), [(("nvidia0",), "shows it no"), ((), "has none")])
def test_a_graphics_processor_is_refused_with_the_reason_and_what_to_do(
    tmp_path: Path, device: str, there: tuple[str, ...], why: str
) -> None:
    """Whether the machine has one or not: what is asked for and not had ends the start."""
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(ConfigurationError) as caught:
        require_device(device, tmp_path)
    assert device in caught.value.what
    assert why in caught.value.why
    assert "FEDMQ_TASK_DEVICE" in caught.value.fix


@pytest.mark.parametrize("word", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_a_word_that_is_no_device_is_refused_as_a_setting(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    """The error names the variable."""
    monkeypatch.setenv("FEDMQ_TASK_DEVICE", word)
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    assert "FEDMQ_TASK_DEVICE" in caught.value.what
