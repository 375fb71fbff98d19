"""Cluster: Ray, connected on request (an optional extra)."""

from __future__ import annotations

import socket
from typing import Any

from chainrule.errors import RecipeError


def connected(address: str) -> Any:
    """Ray, connected; a connection that there is already is used.

    Args:
        address: of a Ray cluster; "local" starts one here.

    Raises:
        RecipeError: Ray is not installed, or there is no cluster at that address.
    """
    try:
        import ray
    except ImportError:
        raise RecipeError("ray is not installed: pip install 'chainrule[ray]'") from None
    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {"include_dashboard": False}
    if address != "local":
        _check_answers(address)
        options = {"address": address}
    ray.init(log_to_driver=False, configure_logging=False, **options)
    return ray


def _check_answers(address: str) -> None:
    """Ray itself would wait for a minute, and end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"ray got '{address}', wants host:port of a cluster that runs, or local: {error}"
        ) from None
