"""What an error of redis-py means here: one of our tree, with the next step, and without secrets."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as errors
from redis.sentinel import MasterNotFoundError

from framekeep.errors import (
    ForeignStoreError,
    FramekeepError,
    SessionDamagedError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)

_OF_SENTINEL = re.compile(r"> - (?:\w+:)?(\w+)")  # the class of what one Sentinel raised, behind its repr
_IN_PIPELINE = re.compile(r"(?s)\ACommand # \d+ \(.*\) of pipeline caused error: ")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise errors of redis-py as ours, with the cause kept; the block is to be one question.

    Args:
        where: the address, without a password.
    """
    start = time.perf_counter()
    try:
        yield
    except (errors.RedisError, errors.RedisClusterException) as error:
        found = translate(error, where)
        if isinstance(found, StorageUnavailableError):
            found.waited = time.perf_counter() - start
        raise found from error
    except OSError as error:  # of a socket; redis-py lets some through while it connects
        raise StorageUnavailableError(_refused(where, type(error).__name__)) from error


def translate(error: Exception, where: str) -> FramekeepError:
    """Return what an error of redis-py means."""
    text = _IN_PIPELINE.sub("", str(error))
    word = text.partition(" ")[0]
    found: StorageError
    match error:
        case errors.OutOfMemoryError():
            found = StorageFullError(
                f"Redis at {where} has reached its maxmemory; nothing was stored. Raise maxmemory, or delete "
                "sessions."
            )
        case errors.AuthenticationError() | errors.AuthorizationError() | errors.NoPermissionError():
            found = StorageUnavailableError(_not_allowed(text, where))
        case errors.AuthenticationWrongNumberOfArgsError():
            found = StorageUnavailableError(_not_allowed(text, where))
        case MasterNotFoundError():
            found = StorageUnavailableError(_refused(where, _no_primary(text)))
        case errors.RedisClusterException() if "Cluster mode is not enabled" in text:
            found = StorageUnavailableError(
                f"Redis at {where} is no Cluster, or does not let this user ask (CLUSTER SLOTS). Begin "
                "REDIS_URL with redis:// if it is one server."
            )
        case errors.RedisClusterException(__cause__=errors.RedisError() as cause):
            return translate(cause, where)  # it was never connected to, and the cause is why
        case errors.RedisClusterException(__cause__=OSError() as cause):
            found = StorageUnavailableError(_refused(where, type(cause).__name__))
        case errors.MovedError():
            found = StorageUnavailableError(
                f"Redis at {where} is one node of a Cluster, and another one has this key. Begin REDIS_URL "
                "with redis+cluster:// if it does not; else try again."
            )
            found.partial = True
        case errors.ResponseError() if "DB index" in text:
            found = StorageUnavailableError(
                f"Redis at {where} has no database of that number ({_brief(text)}). See REDIS_DB and the end "
                "of REDIS_URL."
            )
        case errors.BusyLoadingError():
            found = StorageUnavailableError(f"Redis at {where} is loading its data. Try again in a moment.")
        case errors.TimeoutError():
            found = StorageUnavailableError(
                f"Redis at {where} did not answer in time (REDIS_SOCKET_TIMEOUT). Try again."
            )
        case errors.ResponseError() if is_of_replica(error):
            found = StorageUnavailableError(
                f"Redis at {where} is a replica and takes no writes: a failover is under way, or REDIS_URL "
                "names a replica. Try again; if it stays so, name the primary, or its Sentinels."
            )
        case (
            errors.ClusterError()
            | errors.RedisClusterException()
            | errors.TryAgainError()
            | errors.AskError()
        ):
            found = StorageUnavailableError(
                f"The Redis Cluster at {where} does not serve all slots just now ({_brief(text)}). Try again."
            )
            found.partial = True
        case errors.ResponseError() if word == "DENIED":
            found = StorageUnavailableError(
                f"Redis at {where} is in protected mode and lets only its own machine in: give it a "
                "password, or a user for us (see REDIS_USERNAME, REDIS_PASSWORD)."
            )
        case errors.InvalidResponse():
            found = StorageUnavailableError(
                f"RedisBackend is not available: what listens at {where} does not speak as Redis does. "
                "Correct REDIS_URL."
            )
        case errors.ConnectionError():
            found = StorageUnavailableError(_refused(where, _brief(text)))
        case errors.ResponseError() if word == "WRONGTYPE":
            found = ForeignStoreError(
                f"A key under our prefix in Redis at {where} is not one of Framekeep's. Choose another "
                "REDIS_KEY_PREFIX."
            )
        case errors.ResponseError() if word == "MISCONF":
            found = StorageReadOnlyError(
                f"Redis at {where} takes no writes because it cannot save to its disk (MISCONF): see its log."
            )
        case errors.ResponseError() if word in ("NOREPLICAS", "MASTERDOWN", "LOADING", "CLUSTERDOWN"):
            found = StorageUnavailableError(f"Redis at {where} takes no writes now ({word}). Try again.")
        case errors.ResponseError() if "invalid bulk length" in text:
            found = StorageFullError(
                f"A value is larger than Redis at {where} takes in one piece; nothing was stored. Raise its "
                "proto-max-bulk-len."
            )
        case errors.ResponseError() if "Error compiling script" in text:
            found = StorageUnavailableError(
                f"Redis at {where} is too old: it does not understand our scripts. Redis 7 or newer, or "
                "Valkey 8 or newer, is needed."
            )
        case errors.ResponseError() if word == "BUSY":
            found = StorageBusyError(
                f"Redis at {where} is busy with somebody's script. Try again, or see SCRIPT KILL."
            )
        case errors.ResponseError() if word in ("NOAUTH", "WRONGPASS", "NOPERM") or _in_script(text):
            found = StorageUnavailableError(_not_allowed(text, where))
        case errors.ResponseError() if text.startswith("user_script:"):
            # A step of ours came upon what it never wrote; that is no outage, and it will be there again.
            found = SessionDamagedError(
                f"What Redis at {where} holds of one session is damaged ({_brief(text)}): somebody changed "
                "its keys. 'framekeep check' says which.",
                where="head",
            )
        case _:
            found = StorageUnavailableError(
                f"Redis at {where} refused a command ({_brief(text) or type(error).__name__}). "
                "Is it Redis 7 or newer, or Valkey 8 or newer?"
            )
    return found


def is_of_replica(error: BaseException) -> bool:
    """Say whether an error tells that the server takes no writes, because it follows another one."""
    return isinstance(error, errors.ReadOnlyError) or "WAIT cannot be used with replica" in str(error)


def _refused(where: str, why: str) -> str:
    return (
        f"RedisBackend is not available: no connection to Redis at {where} ({why}). "
        "Start it, or correct REDIS_URL."
    )


def _no_primary(text: str) -> str:
    """Return why no primary was found."""
    raised = dict.fromkeys(_OF_SENTINEL.findall(text))
    if not raised:
        return "its Sentinels know no primary of that name that is up"
    if "AuthenticationError" in raised:
        return "its Sentinels do not let us in; see sentinel_password in REDIS_URL"
    return f"its Sentinels do not answer: {', '.join(raised)}"


def _not_allowed(text: str, where: str) -> str:
    return (
        f"Redis at {where} does not let this user in or does not allow a command ({_brief(text)}). See "
        "REDIS_USERNAME, REDIS_PASSWORD and the user's ACL."
    )


def _in_script(text: str) -> bool:
    """Say whether a script was not allowed a command or key; servers say it in different words."""
    return "ACL failure in script" in text or "The user executing the script can't" in text


def _brief(text: str) -> str:
    """Return the beginning of a server's message: it holds names of commands and keys, and no values."""
    return text.splitlines()[0][:120].rstrip(".") if text else ""
