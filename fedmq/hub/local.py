"""Members on the hub's own machine: invited, asking and admitted in one go, nobody comparing.

For demonstrations and trials: whoever can do this holds the hub's authority and the member's keys.
"""

from pathlib import Path

from fedmq.hub.credentials import Credentials, read_credentials
from fedmq.hub.enrolment import Enrolment
from fedmq.hub.joiner import Joiner
from fedmq.hub.members import Hub
from fedmq.types import Role


def enrol_here(hub: Path, name: str, role: Role, credentials: Path) -> Credentials:
    """Return the credentials of a member of the hub, in a file of this machine with its keys.

    Raises:
        ConfigurationError: the name cannot be one, or is another's.
        TransportError: an external broker does not answer or refuses.
    """
    if credentials.exists():
        return read_credentials(credentials, role)
    enrolment, joiner = Enrolment(Hub(hub), hub), Joiner(credentials)
    token = enrolment.invite(name, role)
    request = joiner.begin(token)
    answer = enrolment.admit(request, request.public.fingerprint)
    known = joiner.finish(token, answer)
    enrolment.close(name)
    return known
