"""One user of the service: reads, edits and steps back in a session of their own, and knows what must come.

Beside the session goes a model, a plain pandas frame with two stacks. Each answer is compared with it, and in
the end the session's frame must equal it exactly: an edit that is lost, made twice or made wrong shows.
"""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.line import SESSIONS, Address, Answer, AsyncLine, request
from framekeep.frames import FRAME_TYPE, pack, unpack

ROWS = 300
VERSIONS = 5
"""MAX_VERSIONS of the service."""

_WORDS = ("north", "south", "east", "west")

Operation = dict[str, Any]
Edit = tuple[Operation, pd.DataFrame]


class Lost(Exception):
    """What the service says is not what the user did."""


class Failed(Exception):
    """The service answered with a status that nothing explains."""


@dataclass(slots=True)
class Diary:
    """What users went through.

    Attributes:
        samples: milliseconds of each answer, by verb.
        errors: answers that nothing explains, and broken connections.
        lost: differences between a session and its user's model.
    """

    samples: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Model:
    """What the session must hold."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.past: deque[pd.DataFrame] = deque(maxlen=VERSIONS)
        self.future: list[pd.DataFrame] = []

    def change(self, after: pd.DataFrame) -> None:
        """Take an edit as one version."""
        self.past.append(self.frame)
        self.future.clear()
        self.frame = after

    def undo(self) -> None:
        """Step back."""
        self.future.append(self.frame)
        self.frame = self.past.pop()

    def redo(self) -> None:
        """Step forward."""
        self.past.append(self.frame)
        self.frame = self.future.pop()

    def rows(self, offset: int, limit: int) -> list[list[Any]]:
        """Return rows as a page has them."""
        page = self.frame.iloc[offset : offset + limit]
        columns = [
            [_json(value) for value in page.iloc[:, position].tolist()] for position in range(page.shape[1])
        ]
        return [list(row) for row in zip(*columns, strict=True)]


class User:
    """One user.

    Args:
        address: where the service is.
        number: seeds what they do.
        diary: where they write.
    """

    def __init__(self, address: Address, number: int, diary: Diary) -> None:
        self._address = address
        self._number = number
        self._random = random.Random(number)
        self._diary = diary
        self._model = Model(new_frame(number))
        self._lines: list[AsyncLine] = []
        self._path = ""
        self._etag = ""
        self._made = 0

    async def live(
        self, goes_on: Callable[[int], bool], *, meddled: bool = False, pause: float = 0.0
    ) -> None:
        """Work while ``goes_on(steps done)``, then compare everything and delete the session.

        Args:
            goes_on: says whether to take another step.
            meddled: whether somebody changes the session behind the user's back before it is compared.
            pause: seconds between two steps, on average; they vary as those of people do.
        """
        steps: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (40, self._page),
            (30, self._edit),
            (8, self._undo),
            (6, self._redo),
            (4, self._profile),
            (4, self._export),
            (4, self._replace),
            (4, self._versions),
        ]
        weights = [weight for weight, _ in steps]
        done = 0
        try:
            # Two connections, so that requests of one user come to different workers.
            self._lines = [await AsyncLine.open(self._address) for _ in range(2)]
            await self._begin()
            while goes_on(done):
                await self._random.choices(steps, weights)[0][1]()
                done += 1
                if pause:
                    await asyncio.sleep(self._random.expovariate(1.0 / pause))
            if meddled:
                await self._meddle()
            await self._end()
        except Lost as error:
            self._diary.lost.append(f"user {self._number}, step {done}: {error}")
        except (Failed, OSError, EOFError) as error:
            self._diary.errors.append(f"user {self._number}, step {done}: {type(error).__name__}: {error}")
        finally:
            for line in self._lines:
                line.close()

    # --- what they do ------------------------------------------------------------------------------

    async def _begin(self) -> None:
        body = b"".join(pack(self._model.frame))
        answer = await self._ask("create", request("POST", SESSIONS, body, FRAME_TYPE), 201)
        self._path = f"{SESSIONS}/{answer.json()['session_id']}"
        self._etag = answer.headers["etag"]

    async def _page(self) -> None:
        offset, limit = self._random.randrange(len(self._model.frame)), self._random.randint(1, 20)
        answer = await self._get("page", f"/data?offset={offset}&limit={limit}")
        page = answer.json()
        _equal("the page's rows", page["rows"], self._model.rows(offset, limit))
        _equal("the number of rows", page["total_rows"], len(self._model.frame))
        _equal("the page's ETag", answer.headers["etag"], self._etag)

    async def _edit(self) -> None:
        operations, after = [], self._model.frame
        for _ in range(self._random.choice((1, 1, 2))):
            operation, after = self._random.choice(EDITS)(self._random, after)
            operations.append(operation)
        self._made += 1
        headers = {}
        if self._random.random() < 0.3:
            headers["if-match"] = self._etag
        twice = self._random.random() < 0.1
        if twice:
            headers["idempotency-key"] = f"user-{self._number}-{self._made}-{self._path[-8:]}"
        body = {"operations": operations}
        answer = await self._send("edit", "POST", "/edits", body, headers)
        if twice:
            again = await self._send("edit again", "POST", "/edits", body, headers)
            _equal("the answer to the same request", again.body, answer.body)
        told = answer.json()
        _equal("the shape", told["shape"], list(after.shape))
        if told["version_id"] is None:
            _frames_equal(self._model.frame, after)
        else:
            self._model.change(after)
        self._etag = answer.headers["etag"]

    async def _replace(self) -> None:
        self._made += 1
        after = new_frame(self._number * 1_000_003 + self._made)
        message = request(
            "PUT",
            f"{self._path}/data?summary=Read%20anew",
            b"".join(pack(after)),
            FRAME_TYPE,
            {"if-match": self._etag},
        )
        answer = await self._ask("replace", message, 200)
        self._model.change(after)
        self._etag = answer.headers["etag"]

    async def _undo(self) -> None:
        await self._step("undo", bool(self._model.past), self._model.undo)

    async def _redo(self) -> None:
        await self._step("redo", bool(self._model.future), self._model.redo)

    async def _step(self, verb: str, possible: bool, move: Callable[[], None]) -> None:
        message = request("POST", f"{self._path}/{verb}")
        if not possible:
            answer = await self._ask(verb, message, 409)
            _equal("why not", answer.json()["code"], f"nothing_to_{verb}")
            return
        answer = await self._ask(verb, message, 200)
        move()
        _equal("the rows after a step", answer.json()["rows"], len(self._model.frame))
        self._etag = answer.headers["etag"]

    async def _profile(self) -> None:
        answer = await self._get("profile", "/profile?columns=score&columns=count")
        for told in answer.json()["profiles"]:
            values = self._model.frame[told["name"]].dropna()
            _equal("the count", told["count"], len(values))
            _equal("the missing", told["missing"], len(self._model.frame) - len(values))
            _equal("the extremes", [told["min"], told["max"]], [values.min(), values.max()])

    async def _export(self) -> None:
        answer = await self._get("export", "/data.csv")
        told = pd.read_csv(io.BytesIO(answer.body), float_precision="round_trip", parse_dates=["seen"])
        wanted = self._model.frame
        _equal("the columns", list(told.columns), list(wanted.columns))
        for name in ("id", "score", "count", "name", "seen"):
            if not told[name].equals(wanted[name].astype(told[name].dtype)):
                raise Lost(f"the exported column {name} differs")

    async def _versions(self) -> None:
        answer = await self._get("versions", "/versions")
        undone = [each["undone"] for each in answer.json()["versions"]]
        past, future = len(self._model.past), len(self._model.future)
        _equal("the versions", undone, [False] * past + [True] * future)

    async def _meddle(self) -> None:
        cells = [{"row": 0, "column": "count", "value": -1}]
        await self._send(
            "meddle", "POST", "/edits", {"operations": [{"op": "set_cells", "cells": cells}]}, {}
        )

    async def _end(self) -> None:
        answer = await self._get("read all", "/data.framekeep")
        _frames_equal(unpack(answer.body), self._model.frame)
        _equal("the last ETag", answer.headers["etag"], self._etag)
        await self._ask("delete", request("DELETE", self._path), 200)

    # --- how ---------------------------------------------------------------------------------------

    async def _get(self, verb: str, path: str) -> Answer:
        return await self._ask(verb, request("GET", self._path + path), 200)

    async def _send(
        self, verb: str, method: str, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> Answer:
        message = request(method, self._path + path, _dumped(body), headers=headers)
        return await self._ask(verb, message, 200)

    async def _ask(self, verb: str, message: bytes, status: int) -> Answer:
        line = self._random.choice(self._lines)
        start = time.perf_counter()
        answer = await line.ask(message)
        self._diary.samples.setdefault(verb, []).append((time.perf_counter() - start) * 1e3)
        if answer.status != status:
            raise Failed(f"{verb}: {status} expected, got {answer.status}: {answer.body[:300]!r}")
        return answer


# --- what edits do, in the service's words and in plain pandas ----------------------------------------


def new_frame(seed: int) -> pd.DataFrame:
    """Return a table of 300 rows to begin with."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.normal(50, 12, ROWS), 3)
    score[rng.random(ROWS) < 0.1] = np.nan
    seconds = rng.integers(0, 10**8, ROWS).astype("timedelta64[s]")
    return pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "name": pd.Series([f" Person {k} " for k in rng.integers(0, 10**6, ROWS)], dtype="str"),
            "group": pd.Series(rng.choice(_WORDS, ROWS), dtype="str"),
            "score": score,
            "count": rng.integers(0, 10**6, ROWS),
            "total": np.zeros(ROWS),
            "done": rng.random(ROWS) < 0.5,
            "seen": np.datetime64("2020-01-01", "us") + seconds,
        }
    )


def _set_cells(random: random.Random, frame: pd.DataFrame) -> Edit:
    after, cells = frame.copy(), []
    for _ in range(random.randint(1, 5)):
        row, column = random.randrange(len(frame)), random.choice(("score", "count", "name"))
        value: Any = {
            "score": random.choice((None, random.uniform(-1e3, 1e3))),
            "count": random.randrange(10**9),
            "name": f"N{random.randrange(10**6)}",
        }[column]
        cells.append({"row": row, "column": column, "value": value})
        after.iat[row, after.columns.tolist().index(column)] = np.nan if value is None else value
    return {"op": "set_cells", "cells": cells}, after


def _fill(random: random.Random, frame: pd.DataFrame) -> Edit:
    value = round(random.uniform(0, 100), 3)
    operation = {"op": "fill_missing", "columns": ["score"], "method": "value", "value": value}
    return operation, frame.assign(score=frame["score"].fillna(value))


def _derive(random: random.Random, frame: pd.DataFrame) -> Edit:
    factor = random.randint(2, 9)
    expression = f"score * {factor} + count"
    operation = {"op": "derive_column", "name": "total", "expression": expression, "overwrite": True}
    return operation, frame.assign(total=frame["score"] * factor + frame["count"])


def _drop_rows(random: random.Random, frame: pd.DataFrame) -> Edit:
    rows = random.sample(range(len(frame)), 2) if len(frame) > 50 else []
    operation = {"op": "filter_rows", "rows": rows, "action": "drop"}
    return operation, frame.drop(index=rows).reset_index(drop=True)


def _keep_where(random: random.Random, frame: pd.DataFrame) -> Edit:
    least = int(frame["count"].quantile(0.01)) if len(frame) > 50 else -1
    operation = {"op": "filter_rows", "where": f"count >= {least} or score is missing"}
    kept = (frame["count"] >= least) | frame["score"].isna()
    return operation, frame[kept].reset_index(drop=True)


def _sort(random: random.Random, frame: pd.DataFrame) -> Edit:
    descending = random.random() < 0.5
    by = [{"column": "group", "descending": descending}, {"column": "score"}]
    after = frame.sort_values(["group", "score"], ascending=[not descending, True], kind="stable")
    return {"op": "sort_rows", "by": by}, after.reset_index(drop=True)


def _replace_values(random: random.Random, frame: pd.DataFrame) -> Edit:
    old, new = random.sample(_WORDS, 2)
    operation = {"op": "replace_values", "columns": ["group"], "replacements": [{"from": old, "to": new}]}
    return operation, frame.assign(group=frame["group"].mask(frame["group"] == old, new))


def _case(random: random.Random, frame: pd.DataFrame) -> Edit:
    upper = random.random() < 0.5
    operation = {"op": "change_case", "columns": ["name"], "to": "upper" if upper else "lower"}
    names = frame["name"].str
    return operation, frame.assign(name=names.upper() if upper else names.lower())


def _trim(random: random.Random, frame: pd.DataFrame) -> Edit:
    return {"op": "trim_text", "columns": ["name"]}, frame.assign(name=frame["name"].str.strip())


EDITS: tuple[Callable[[random.Random, pd.DataFrame], Edit], ...] = (
    _set_cells,
    _set_cells,
    _fill,
    _derive,
    _drop_rows,
    _keep_where,
    _sort,
    _replace_values,
    _case,
    _trim,
)


# --- comparing ---------------------------------------------------------------------------------------


def _dumped(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value)


def _json(value: Any) -> Any:
    """Return a cell as JSON has it."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return None if value != value else value


def _equal(what: str, told: Any, wanted: Any) -> None:
    if told != wanted:
        raise Lost(f"{what}: {wanted!r:.300} expected, told {told!r:.300}")


def _frames_equal(told: pd.DataFrame, wanted: pd.DataFrame) -> None:
    try:
        pd.testing.assert_frame_equal(told, wanted, check_exact=True)
    except AssertionError as error:
        raise Lost(f"the frame: {error}") from None
