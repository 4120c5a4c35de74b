"""Settings: what the environment says, read once, at the edge.

FEDMQ_HOME              the folder of this machine's part of a federation (default ~/.fedmq)
FEDMQ_KEEP_MODELS       the models of so many rounds of an experiment stay (default 10: the last)
FEDMQ_AUDIT_YEARS       entries of a node's audit log stay so many years (default 10)
FEDMQ_HEARTBEAT_S       seconds of silence, and five more, after which a node or an orchestrator
                        takes its connection to the broker for dead (default 30, at least 2)
FEDMQ_BROKER_URL        AMQP address of a broker of one's own, for the hub and the demo
FEDMQ_BROKER_ADMIN_URL  address of its management with an administrator's login
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fedmq.errors import ConfigurationError


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix="FEDMQ_", frozen=True, extra="forbid")

    # Programs that this one starts have another working folder: the home is the same for them.
    home: Annotated[Path, AfterValidator(Path.absolute)] = Field(
        default_factory=lambda: Path.home() / ".fedmq"
    )
    keep_models: Annotated[int, Field(ge=1)] = 10
    audit_years: Annotated[int, Field(ge=1, le=1_000)] = 10
    heartbeat_s: Annotated[int, Field(ge=2, le=600)] = 30
    broker_url: str | None = None
    broker_admin_url: SecretStr | None = None

    @property
    def hub(self) -> Path:
        """The hub's folder."""
        return self.home / "hub"

    @property
    def orchestrator(self) -> Path:
        """The orchestrator's folder."""
        return self.home / "orchestrator"

    @property
    def node(self) -> Path:
        """The node's folder."""
        return self.home / "node"

    def researcher(self, name: str) -> Path:
        """Return the folder of a researcher."""
        return self.home / "researchers" / name


def read_settings() -> Settings:
    """Return what the environment says.

    Raises:
        ConfigurationError: a variable has a value that cannot be used, or one of a pair is missing.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        names = ", ".join(f"FEDMQ_{str(fault['loc'][0]).upper()}" for fault in error.errors())
        raise ConfigurationError(
            f"the environment variable {names} cannot be used",
            why=error.errors(include_input=False)[0]["msg"],
            fix="unset it, or see README",
        ) from error
    if (settings.broker_url is None) != (settings.broker_admin_url is None):
        raise ConfigurationError(
            "one address of the broker is missing",
            why="a broker of one's own needs FEDMQ_BROKER_URL and FEDMQ_BROKER_ADMIN_URL",
            fix="set both, or none to have a private broker",
        )
    return settings
