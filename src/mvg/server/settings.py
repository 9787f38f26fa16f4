"""What a server is started with."""

import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from mvg.errors import MvgError

SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class ServerSettings:
    """folder: of the studies; host, port: where the server listens, port 0 for any free one; weights, device: see
    `mvg.load`; token: that requests must carry, None for none; anonymous: names and headers of studies are hidden;
    demo: the folder holds the demo's images.

    Raises MvgError for an address other than this machine's without a token, and for a short token.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8765
    weights: str = "tiny"
    device: str = "auto"
    token: str | None = None
    anonymous: bool = False
    demo: bool = False

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise MvgError(
                f"a token of {len(self.token)} characters", f"{SHORTEST_TOKEN} or more", "use --token new to make one"
            )
        if self.token is None and not is_loopback(self.host):
            raise MvgError(
                f"the address {self.host}, which other machines reach, without a token", "a token for everyone else",
                "add --token new",
            )  # fmt: skip


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(24)
