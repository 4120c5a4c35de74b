"""Settings: what the environment says, read once, at the edge.

FEDMQ_HOME              the folder of this machine's part of a federation (default ~/.fedmq)
FEDMQ_KEEP_MODELS       the models of so many rounds of an experiment stay (default 10: the last)
FEDMQ_AUDIT_YEARS       entries of an audit log stay so many years (default 10)
FEDMQ_HEARTBEAT_S       seconds of silence, and five more, after which a node or an orchestrator
                        takes its connection to the broker for dead (default 30, at least 2)
FEDMQ_LEASE_S           seconds without a sign of the orchestrator that leads, after which one that
                        stands by takes over its experiments (default 15, at least 5)
FEDMQ_TLS_1_2           true: take a broker that speaks TLS 1.2 and nothing newer (default false)
FEDMQ_PROXY             HTTP proxy that leads to the broker, as http://USER@HOST:PORT; for a broker
                        on this machine none is used. https_proxy and the like are not read
FEDMQ_PROXY_PASSWORD_FILE  file that holds the password for that proxy, and nothing else
FEDMQ_TASK_TIMEOUT_S    seconds that a node gives one task (default 86400: a day)
FEDMQ_TASK_THREADS      threads that a task of a node computes with, at most (default: the
                        processors that the node may use, 8 at most); an experiment keeps
                        what it began with
FEDMQ_TASK_DEVICE       cpu, on which plans compute (default); any other is refused
FEDMQ_TASK_MEMORY_MB    MB of memory for each process of a plan (default: what the machine has)
FEDMQ_TASK_SCRATCH_MB   MB of files that a plan may keep beside its model (default 1024)
FEDMQ_CASE_CACHE_MB     MB of cases that stay prepared while their experiments run (default 20480;
                        0: none)
FEDMQ_ALLOW_UNCONTAINED 1 lets a node run plans where it cannot keep them from network and files
FEDMQ_BROKER_URL        AMQP address of a broker of one's own, for the hub and the demo
FEDMQ_BROKER_AUTHORITY  file with the certificates of who vouches for that broker, as PEM; without
                        it those are believed whom the system trusts. For the hub and the demo;
                        members get them with their token
FEDMQ_BROKER_ADMIN_URL  address of its management with an administrator's login
"""

import stat
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fedmq.errors import ConfigurationError
from fedmq.types import ORCHESTRATOR

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


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
    lease_s: Annotated[int, Field(ge=5, le=3_600)] = 15
    reconnect_s: Annotated[int, Field(ge=1, le=3_600)] = 60
    tls_1_2: bool = False
    proxy: SecretStr | None = None
    proxy_password_file: Path | None = None
    task_timeout_s: Annotated[int, Field(ge=1)] = 86_400
    task_threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    task_device: Annotated[str, Field(pattern=r"^(cpu|cuda(:[0-9]{1,2})?)$")] = "cpu"
    task_memory_mb: Annotated[int, Field(ge=256)] | None = None
    task_scratch_mb: Annotated[int, Field(ge=1)] = 1024
    case_cache_mb: Annotated[int, Field(ge=0)] = 20_480
    allow_uncontained: bool = False
    broker_url: str | None = None
    broker_admin_url: SecretStr | None = None
    broker_authority: Path | None = None

    def read_broker_authority(self) -> str:
        """Return who vouches for a broker of one's own, as PEM; empty: nobody but the system.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        if self.broker_authority is None:
            return ""
        try:
            return self.broker_authority.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the certificates {self.broker_authority} cannot be read",
                why=str(error),
                fix="let FEDMQ_BROKER_AUTHORITY name a file of PEM certificates, or unset it",
            ) from error

    def read_proxy_password(self) -> str:
        """Return the password for the proxy; empty: there is none beside its address.

        Raises:
            ConfigurationError: the file cannot be read, or others may read it.
        """
        if self.proxy_password_file is None:
            return ""
        try:
            is_secret = not stat.S_IMODE(self.proxy_password_file.stat().st_mode) & _OTHERS
            password = self.proxy_password_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the proxy's password {self.proxy_password_file} cannot be read",
                why=getattr(error, "strerror", None) or "it is no text",
                fix="let FEDMQ_PROXY_PASSWORD_FILE name a file with the password, or unset it",
            ) from error
        if not is_secret:
            raise ConfigurationError(
                f"the proxy's password {self.proxy_password_file} is not kept secret",
                why="other users of this machine may read or change the file",
                fix=f"chmod 600 {self.proxy_password_file}",
            )
        return password

    @property
    def hub(self) -> Path:
        """The hub's folder."""
        return self.home / "hub"

    @property
    def orchestrator(self) -> Path:
        """The folder of the orchestrator that every hub has."""
        return self.home / ORCHESTRATOR

    @property
    def orchestrators(self) -> Path:
        """Where the folders of those are that were added to a hub."""
        return self.home / "orchestrators"

    def orchestrator_of(self, name: str) -> Path:
        """Return the folder of an orchestrator: two of one machine have nothing in common."""
        return self.orchestrator if name == ORCHESTRATOR else self.orchestrators / name

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
