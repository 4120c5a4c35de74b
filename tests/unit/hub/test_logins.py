"""The login of a member on this machine."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from fedmq.hub.credentials import Credentials
from fedmq.hub.logins import login_of
from fedmq.hub.membership import Membership
from fedmq.settings import Settings
from fedmq.types import Role


@pytest.mark.parametrize("allows_1_2", [True, False])
def test_a_login_is_as_the_settings_say(tmp_path: Path, *, allows_1_2: bool) -> None:
    """Heartbeat, versions of TLS and proxy."""
    known = Credentials(role=Role.NODE, user="chu-lyon", url="amqps://broker.example.org/f")
    settings = Settings(
        tls_1_2=allows_1_2, heartbeat_s=17, proxy=SecretStr("http://proxy.hospital:3128")
    )
    login = login_of(Membership(credentials=known, folder=tmp_path), settings, "program 1")
    assert (login.user, login.program, login.heartbeat_s) == ("chu-lyon", "program 1", 17)
    assert login.tls is not None
    assert login.tls.allows_1_2 is allows_1_2
    assert str(login.proxy and login.proxy.address) == "proxy.hospital:3128"
