"""What RabbitMQ is told before it starts: its two files, plugins, environment. Pure text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.hub.ports import LOOPBACK, Ports

PLUGINS: Final = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_auth_mechanism_ssl].\n"

ADVANCED: Final = "advanced.config"
"""Erlang's terms, for what rabbitmq.conf has no words for."""
REVOKED: Final = "revoked"
"""The folder beside the certificate with the list of those that count no more."""

# Reasons line by line: docs/adr/0005-hub.md.
_EVERYWHERE: Final = """\
max_message_size = 16777216
heartbeat = 30
consumer_timeout = 3600000
tcp_listen_options.backlog = 128
tcp_listen_options.nodelay = true
tcp_listen_options.linger.on = true
tcp_listen_options.linger.timeout = 0
tcp_listen_options.exit_on_close = false
tcp_listen_options.send_timeout = 300000
raft.wal_max_size_bytes = 67108864
raft.segment_max_entries = 128
prometheus.return_per_object_metrics = false
"""
_PRIVATE: Final = """\
collect_statistics_interval = 1000
log.console = false
log.file.level = info
"""
NETWORK_PORT: Final = 443
NETWORK_TLS: Final = Path("/etc/rabbitmq/tls")
_NETWORK: Final = """\
vm_memory_high_watermark.relative = 0.5
disk_free_limit.absolute = 5GB
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where members reach a hub's own broker."""

    address: str = LOOPBACK
    allows_tls_1_2: bool = False
    """Version 1.3 alone, unless somebody asked for the older one."""


def private_configuration(
    ports: Ports, definitions: Path, listener: Listener, *, has_tls: bool
) -> str:
    """Return rabbitmq.conf of a hub's own broker; without TLS this machine alone can reach it.

    With it members are known by their certificates, and by nothing else; `tls_options` says how.
    Its management is for this machine in any case.
    """
    ways = f"listeners.tcp.1 = {LOOPBACK}:{ports.amqp}\n"
    if has_tls:
        ways = (
            "listeners.tcp = none\n"
            f"listeners.ssl.1 = {listener.address}:{ports.amqp}\n"
            "auth_mechanisms.1 = EXTERNAL\n"
            "ssl_cert_login_from = common_name\n"
        )
    return (
        f"{ways}"
        f"management.tcp.ip = {LOOPBACK}\n"
        f"management.tcp.port = {ports.management}\n"
        f"prometheus.tcp.ip = {LOOPBACK}\n"
        f"prometheus.tcp.port = {ports.prometheus}\n"
        f"load_definitions = {definitions}\n"
        f"{_EVERYWHERE}{_PRIVATE}"
    )


def network_configuration() -> str:
    """Return rabbitmq.conf of a broker that hospitals reach and that no hub has set up.

    Members log in with passwords there; its certificate is its operator's.
    """
    return (
        "listeners.tcp = none\n"
        f"listeners.ssl.1 = 0.0.0.0:{NETWORK_PORT}\n"
        f"ssl_options.certfile = {NETWORK_TLS / 'certificate.pem'}\n"
        f"ssl_options.keyfile = {NETWORK_TLS / 'key.pem'}\n"
        "ssl_options.versions.1 = tlsv1.3\n"
        "auth_mechanisms.1 = PLAIN\n"
        f"{_EVERYWHERE}{_NETWORK}"
    )


def tls_options(folder: Path, *, allows_1_2: bool) -> str:
    """Return advanced.config of a hub's own broker: how it speaks TLS, and whom it believes.

    `folder` has its certificate and the list of certificates that count no more. It is read at each
    handshake, and without it nobody gets in.
    """
    versions = ["'tlsv1.3'"]
    options = {
        "cacertfile": _string(folder / "authority.pem"),
        "certfile": _string(folder / "certificate.pem"),
        "keyfile": _string(folder / "key.pem"),
        "verify": "verify_peer",
        "fail_if_no_peer_cert": "true",
        "crl_check": "peer",
        "crl_cache": f"{{ssl_crl_hash_dir,{{internal,[{{dir,{_string(folder / REVOKED)}}}]}}}}",
    }
    if allows_1_2:
        versions.append("'tlsv1.2'")
        options["reuse_sessions"] = "false"  # a session that is resumed shows no certificate
    options["versions"] = f"[{','.join(versions)}]"
    lines = ",\n  ".join(f"{{{name},{value}}}" for name, value in options.items())
    return f"[{{rabbit,[{{ssl_options,[\n  {lines}\n]}}]}}].\n"


def _string(path: Path) -> str:
    """Return a path as Erlang reads it."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def environment(folder: Path, ports: Ports, node_name: str) -> dict[str, str]:
    """Return the environment that keeps a broker to its own folder, cookie, ports and loopback."""
    return {
        "HOME": str(folder / "home"),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "RABBITMQ_NODENAME": node_name,
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / ADVANCED),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        # The script becomes the Erlang machine instead of waiting for it: one process, one pid.
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": LOOPBACK,
    }
