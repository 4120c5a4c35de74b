"""Greetings: who is asked for a word, and when."""

from fedmq.node.greetings import SETTLE_S, Greetings
from tests.support.clock import FakeClock


class Node:
    """A node's greetings, and the orchestrators of its roster."""

    def __init__(self) -> None:
        self.now = 0.0
        self.orchestrators = ["orchestrator"]
        self.said: list[tuple[str, str]] = []
        self.greetings = Greetings(
            FakeClock(lambda: self.now),
            orchestrators=lambda: self.orchestrators,
            say=lambda nonce, name: self.said.append((name, nonce)),
        )

    def answer(self) -> None:
        """Everybody answers what was said last."""
        for name, nonce in self.said:
            self.greetings.answered(nonce, by=name)


def test_who_is_new_in_the_roster_is_greeted_once() -> None:
    """With no new connection: a person has agreed to its keys. Others are not asked again."""
    node = Node()
    node.greetings.greet()
    node.greetings.review()
    node.answer()
    assert [name for name, _ in node.said] == ["orchestrator"]
    node.orchestrators.append("centre-north")
    for _ in range(3):
        node.greetings.review()
    assert [name for name, _ in node.said] == ["orchestrator", "centre-north"]
    assert not node.greetings.is_settled
    node.answer()
    assert node.greetings.is_settled
    assert node.greetings.is_welcome("centre-north")
    assert node.greetings.is_welcome("orchestrator")


def test_one_that_is_new_and_away_holds_up_others_for_a_moment() -> None:
    """As after a break."""
    node = Node()
    node.greetings.greet()
    node.answer()
    node.orchestrators.append("centre-north")
    node.greetings.review()
    assert not node.greetings.is_settled
    node.now = SETTLE_S
    assert node.greetings.is_settled
    node.greetings.review()
    assert node.greetings.is_settled


def test_with_a_new_connection_everybody_is_asked_once() -> None:
    """Who came into the roster meanwhile too."""
    node = Node()
    node.orchestrators.append("centre-north")
    node.greetings.greet()
    node.greetings.review()
    assert [name for name, _ in node.said] == ["orchestrator", "centre-north"]
