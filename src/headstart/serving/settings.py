"""How the server is reached, and how much it takes."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from headstart.errors import HeadstartError


@dataclass(frozen=True)
class Limits:
    """What a request may be; beyond it is refused before anything is computed."""

    body_bytes: int = 16 << 20
    body_nodes: int = 100_000
    """Values in a JSON body, those of lists and objects counted one by one."""
    body_depth: int = 64
    header_bytes: int = 64 << 10
    first_byte_seconds: float = 10.0
    """Until the headers are whole, and until a body begins."""
    body_seconds: float = 30.0
    body_bytes_a_second: int = 1 << 10
    """A body comes at least so fast, after the first seconds, and an answer is read so fast."""
    bodies_bytes: int = 256 << 20
    """Of all requests that are on their way or are being answered."""
    connections: int = 512
    queued: int = 256
    """Requests that wait for one model."""
    queue_seconds: float = 60.0
    """A request whose work has not begun by then is given up."""
    stall_seconds: float = 60.0
    """Not ready when work waits and none was done for so long."""
    ping_seconds: float = 15.0
    """A silent stream says that it lives."""
    unread_bytes: int = 1 << 20
    """Of a stream whose client does not read; then the request is given up."""
    unread_seconds: float = 30.0
    """After so long an answer that is not being read ends with its connection."""
    files: int = 1000
    state_bytes: int = 10 << 30
    """Of all files, and of answers that will be in one."""
    batches: int = 100
    """That wait or are answered, and as many that have ended and are remembered."""


@dataclass(frozen=True)
class ServeSettings:
    """What `headstart serve` was told.

    Raises:
        HeadstartError: an address that others reach, without a key and without `insecure`; a key that cannot
            be sent; `adapters` is no folder.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    insecure: bool = False
    """Answer on an address that others reach without asking for a key."""
    allowed_hosts: tuple[str, ...] = ()
    """Names in the header `Host` beside those of this machine itself."""
    cors_origins: tuple[str, ...] = ()
    """Web pages whose scripts may ask."""
    ignore_unknown_fields: bool = False
    """List the fields that nobody knows in `x-headstart-ignored`, and answer."""
    access_log: bool = True
    log_requests: Path | None = None
    """A file that requests and their answers are appended to, with their text; None: there is none."""
    drain_seconds: float = 30.0
    """How long what is begun may take once the server is told to end."""
    precision: str = "float32"
    model_bytes: int | None = None
    """Models are put away, the longest unused first, to stay below; None: all stay."""
    cache_bytes: int | None = None
    """Of keys and values of each model that writes; None: a quarter of what is free, at most 4 GiB."""
    adapters: Path | None = None
    """Adapters in this folder may be served and taken away by requests; None: none may."""
    state: Path | None = None
    """Where files and batches are kept; None: there are none."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.api_key is not None and not re.fullmatch(r"[!-~]+", self.api_key):
            raise HeadstartError(
                "--api-key (HEADSTART_API_KEY) is empty, or has signs that no header carries; give one of "
                "letters, digits and punctuation of ASCII, without blanks"
            )
        if self.adapters is not None and not self.adapters.is_dir():
            raise HeadstartError(
                f"--adapters {self.adapters} is no folder; name the one that adapters lie in"
            )
        if not (is_loopback(self.host) or self.api_key or self.insecure):
            raise HeadstartError(
                f"other machines reach {self.host}, and no key is asked for; give --api-key, or --insecure "
                "if anybody may ask"
            )

    def allows_host(self, header: str) -> bool:
        """Whether a request's header `Host` names this server, not a foreign page's name that leads here."""
        name = host_name(header)
        allowed = {host_name(one) for one in self.allowed_hosts}
        own = self.host not in ("0.0.0.0", "::") and name == self.host.lower()
        return is_loopback(name) or own or name in allowed or "*" in self.allowed_hosts


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine, reached from itself alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """The name in a header `Host`, without the port and the brackets of an IPv6 address."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if header.count(":") == 1 else header
