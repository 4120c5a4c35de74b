"""The private broker, as far as it needs none."""

import socket
from pathlib import Path

import pytest

from fedmq.errors import HubError, StorageError
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.ports import Ports, choose_ports, is_open


def test_ports_are_five_and_none_of_them_is_taken() -> None:
    """Chosen where the kernel takes none for outgoing connections."""
    ports = choose_ports()
    numbers = {getattr(ports, name) for name in Ports.__slots__}
    assert len(numbers) == 5
    assert all(20_000 <= number < 32_000 and not is_open(number) for number in numbers)


def test_ports_and_node_name_stay_with_the_folder(tmp_path: Path) -> None:
    """Credentials hold them."""
    one, again = PrivateBroker(tmp_path / "a"), PrivateBroker(tmp_path / "b" / ".." / "a")
    other = PrivateBroker(tmp_path / "b")
    assert one.ports() == again.ports() != other.ports()
    assert one.node_name == again.node_name != other.node_name


@pytest.mark.rabbitmq
@pytest.mark.hub_broker
def test_a_port_that_another_program_took_is_said_and_not_replaced(tmp_path: Path) -> None:
    """Members know the broker by it."""
    broker = PrivateBroker(tmp_path)
    ports = broker.ports()
    with (
        socket.create_server(("127.0.0.1", ports.amqp)),
        pytest.raises(HubError, match=f"port {ports.amqp} is taken"),
    ):
        broker.start()
    assert broker.ports() == ports
    assert broker.running() is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With the setting that chooses another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="FEDMQ_HOME"):
        PrivateBroker(tmp_path / "file" / "hub").start()


def test_stopping_what_never_ran_is_no_error(tmp_path: Path) -> None:
    """Down is down."""
    PrivateBroker(tmp_path).stop()
    assert PrivateBroker(tmp_path).running() is None
