"""Dead letters are made of what RabbitMQ keeps of them in a stream."""

from inspect import signature
from typing import get_args

from typer.models import OptionInfo

from fedmq.cli import watch
from fedmq.monitor.letters import MAX_HOURS, DeadLetter, dead_letters
from fedmq.transport.rabbitmq_stream import Reading, StreamMessage


def test_a_letter_tells_its_first_death_and_its_sender() -> None:
    """The broker's headers say where and why; the size is that of the body."""
    message = StreamMessage(
        body=b"12345",
        user="orchestrator",
        type="train.request",
        sent_at=1_000.0,
        headers={
            "x-first-death-queue": "node.chu-lyon.tasks",
            "x-first-death-reason": "rejected",
            "x-stream-offset": 7,
        },
    )
    found = dead_letters(Reading(messages=(message,), is_complete=False))
    assert found.letters == (
        DeadLetter(
            queue="node.chu-lyon.tasks",
            reason="rejected",
            user="orchestrator",
            type="train.request",
            size_bytes=5,
            sent_at=1_000.0,
        ),
    )
    assert not found.is_complete


def test_a_message_without_any_header_is_a_letter_too() -> None:
    """What an administrator put there by hand is shown with nothing known of it."""
    message = StreamMessage(body=b"", user="", type="", sent_at=None, headers={})
    (letter,) = dead_letters(Reading(messages=(message,), is_complete=True)).letters
    assert (letter.queue, letter.reason, letter.sent_at) == ("", "", None)


def test_the_command_looks_back_as_far_as_copies_are_kept() -> None:
    """Its bound stands in the command line's own text, which starts without this package."""
    (choice,) = [one for one in get_args(watch.Hours) if isinstance(one, OptionInfo)]
    assert (choice.min, choice.max) == (1, MAX_HOURS)
    assert signature(watch.dead).parameters["hours"].default == MAX_HOURS
