"""Names of members and experiments."""

import pytest

from fedmq.errors import ConfigurationError
from fedmq.types import parse_id, with_article


@pytest.mark.parametrize("name", ["chu-lyon", "n1", "0", "a" * 40])
def test_a_plain_name_is_taken(name: str) -> None:
    """Small letters, digits and hyphens, up to forty of them."""
    assert parse_id(name, kind="node") == name


@pytest.mark.parametrize("name", ["", "all", "-", "CHU", "a.b", "a b", "a" * 41, "é", "a\n", "#"])
def test_a_name_that_would_break_a_routing_key_is_refused_with_the_fix(name: str) -> None:
    """The error says which characters a name may have, or that the word is reserved."""
    with pytest.raises(ConfigurationError) as caught:
        parse_id(name, kind="node")
    assert caught.value.why
    assert caught.value.fix


@pytest.mark.parametrize(
    ("noun", "words"), [("node", "a node"), ("orchestrator", "an orchestrator")]
)
def test_a_noun_has_its_article(noun: str, words: str) -> None:
    """Errors are read by people."""
    assert with_article(noun) == words
