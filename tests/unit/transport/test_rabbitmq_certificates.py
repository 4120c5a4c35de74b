"""What is said of a login's certificate that the broker refuses."""

from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError
from fedmq.transport.rabbitmq_certificates import certificate_words, is_revoked
from fedmq.transport.rabbitmq_tls import Tls

NOW = 1_924_992_000.0  # 2031-01-01


@pytest.mark.parametrize("words", ["alert certificate expired", "alert bad certificate"])
def test_the_hour_stands_beside_the_brokers_word(words: str) -> None:
    """Erlang does not say what its own clock shows."""
    said = certificate_words(f"[SSL: X] sslv3 {words} (_ssl.c:1)", NOW)
    assert "2031-01-01 00:00 UTC" in said
    assert len(said) < 300, "longer texts of an end are cut"


def test_a_certificate_that_was_taken_back_is_said_to_be() -> None:
    """OpenSSL 1.1 and 3 say it with different beginnings."""
    for beginning in ("sslv3", "ssl/tls"):
        text = f"[SSL: X] {beginning} alert certificate revoked (_ssl.c:1)"
        assert is_revoked(text)
        said = certificate_words(text, NOW)
        assert "taken this login's certificate back" in said
        assert len(said) < 300, "longer texts of an end are cut"


def test_other_words_are_left_as_they_are() -> None:
    """Of the broker's own certificate `inspection` speaks."""
    for text in ("Hostname mismatch", "certificate is not yet valid", "certificate has expired"):
        assert certificate_words(f"certificate verify failed: {text}", NOW) == ""


def test_a_certificate_that_is_gone_may_be_that_of_who_was_revoked(tmp_path: Path) -> None:
    """The hub removes those in its own folder, where an orchestrator may still run."""
    tls = Tls(authority=None, certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        tls.context()
    assert caught.value.fix.endswith("ask its operator whether this member was revoked")
