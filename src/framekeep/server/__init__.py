"""The HTTP service: translates requests into verbs, and errors into problems.

``create_app`` makes the ASGI application; ``run.serve`` runs it as ``framekeep serve`` does.
"""

from __future__ import annotations

from framekeep.server.app import create_app

__all__ = ["create_app"]
