"""The policy in force: looked for between events, so that the log tells of it before it counts."""

from collections.abc import Callable

from fedmq.audit.log import AuditLog
from fedmq.node.audit_facts import PolicyChanged
from fedmq.node.policy import Policy


class PolicyInForce:
    """One policy from one look to the next, whatever happens to the file meanwhile."""

    def __init__(self, read: Callable[[], Policy], audit: AuditLog) -> None:
        self._read = read
        self._audit = audit
        self._policy = read()

    def get(self) -> Policy:
        """Return the policy as it was at the last look."""
        return self._policy

    def look(self) -> None:
        """Put the policy of the file in force; of another file the log tells first.

        Not within a transaction: an entry that is rolled back would not be written again.
        """
        policy = self._read()
        if policy.file != self._policy.file:
            self._audit.note(PolicyChanged(policy=policy.file, before=self._policy.file))
        self._policy = policy
