"""The service's log: one line of JSON (or, on a terminal, of words) per event, to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

import orjson
import structlog

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("framekeep.server")


def _process(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Say which worker it was."""
    event["pid"] = os.getpid()
    return event


def configure(level: int = logging.INFO) -> None:
    """Send the service's and the library's log lines to stderr; called once per process.

    Our own lines, one for each request, do not go through ``logging``: it takes half as long as an answer.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _process,
    ]
    terminal = sys.stderr.isatty()
    words, line = structlog.dev.ConsoleRenderer(), structlog.processors.JSONRenderer(serializer=_json)
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, words if terminal else line],
        logger_factory=(
            structlog.PrintLoggerFactory(sys.stderr)
            if terminal
            else structlog.BytesLoggerFactory(sys.stderr.buffer)
        ),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    renderer: structlog.typing.Processor = words if terminal else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    for name in ("framekeep", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.propagate = name == "uvicorn.error"
        logger.setLevel(level)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # it quotes what was sent
    logging.getLogger("uvicorn.access").disabled = True  # each request has its line in our own form


def _json(event: Any, **options: Any) -> bytes:
    try:
        return orjson.dumps(event, **options)
    except TypeError:  # text that is no Unicode, or a number beyond 64 bits
        return json.dumps(event, default=str).encode()
