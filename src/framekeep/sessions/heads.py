"""How a session's head is read and moved: load, pure transition, commit, and what happens on a race.

Owns the retry rules, the set of blobs a commit must keep, and the translation of engine signals into
errors that name the session. Knows no verb: what a change *is* comes in as a function of the session.

A change that commutes with others (metadata, audit, marks, time to live) is computed anew on the head that
won and tried until it wins. A change computed from one state of the timeline is tried again only while that
is still the timeline; else it ends in ConflictError, and nothing is overwritten unawares.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from framekeep.engines.base import Change, Engine, Head
from framekeep.errors import (
    BlobMissing,
    Conflict,
    ConflictError,
    FramekeepError,
    InvalidInputError,
    SessionDamagedError,
)
from framekeep.names import REVISION_SIZE, Digest, Revision, Space, checked_id, new_revision, space
from framekeep.sessions.head import Session
from framekeep.sessions.mutexes import Mutexes
from framekeep.sessions.source import Origin, Source, damaged, missing, not_found
from framekeep.timeline import State, Timeline

if TYPE_CHECKING:
    from framekeep.frames import Encoded, FrameCodec

T = TypeVar("T")

Told = Callable[[Revision], None]
"""Called with the lineage that a change led to: after it is stored, and before its verb returns."""

PATIENCE = 30.0
"""Seconds that a commutative change is tried against a busy session before ConflictError."""

_GUESSES = 2  # a guess that was wrong may have led to a better one; then it is time to look
_LITTLE = 1.0  # seconds by which an expiry may be early
_RELOADS = 20  # a reader that meets a moved head this often in a row gives up
_ENCODINGS = 3  # a frame whose staged blobs were freed meanwhile is encoded this often


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session as it was at one instant.

    Attributes:
        revision: the name of that state.
        session: the state.
        left: seconds to its expiry then.
        guessed: it was so once, and may have changed since: nobody has looked.
    """

    revision: Revision
    session: Session
    left: float
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """What a transition gives: the next session, the caller's result, audit lines, new blobs.

    The very same session and no audit line: nothing is to be stored.
    """

    session: Session
    result: T
    audit: Sequence[bytes] = ()
    blobs: Mapping[Digest, bytes] = field(default_factory=dict)


def _moves_little(loaded: Loaded) -> bool:
    """Say whether an access would hardly move the expiry."""
    ttl = loaded.session.ttl
    return 0 <= ttl - loaded.left < min(_LITTLE, ttl / 1000)


class _Decoded:
    """The sessions of the last heads seen: a revision never names another state."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._sessions: dict[Revision, Session] = {}

    def seen(self, revision: Revision) -> Session | None:
        """Return the session of a revision if it was decoded before."""
        return self._sessions.get(revision)

    def get(self, revision: Revision, decode: Callable[[], Session]) -> Session:
        """Return the session of a revision, decoded if need be."""
        session = self._sessions.get(revision)
        if session is None:
            # Each step is one of dict's own, so threads need no lock.
            self._sessions[revision] = session = decode()
            if len(self._sessions) > self._limit:
                for oldest in list(self._sessions)[: self._limit // 2]:
                    self._sessions.pop(oldest, None)
        return session


class Heads:
    """Reads and moves the heads of sessions on one engine. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        codec: FrameCodec,
        *,
        patience: float = PATIENCE,
        revisions: Callable[[], Revision] = new_revision,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.engine = engine
        self.codec = codec
        self._patience = patience
        self._revisions = revisions
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._mutexes = Mutexes()
        self._decoded = _Decoded()

    # --- reading ---------------------------------------------------------------------------------

    def load(self, session_id: str) -> Loaded:
        """Return the session as it is now, without moving its expiry.

        Raises:
            InvalidIdError, SessionNotFoundError, SessionDamagedError, NewerFormatError.
        """
        name = space("session", checked_id(session_id))
        try:
            head = self.engine.load(name)
            if head is None:
                raise not_found(session_id)
            return self._loaded(head)
        except SessionDamagedError as error:
            raise damaged(session_id, error) from error

    def _loaded(self, head: Head, *, guessed: bool = False) -> Loaded:
        session = self._decoded.get(head.revision, lambda: Session.decode(head.body))
        return Loaded(head.revision, session, session.ttl if head.ttl is None else head.ttl, guessed)

    def _guess(self, session_id: str) -> Loaded | None:
        """Return the session as it was when it was last seen, without asking for it."""
        head = self.engine.guess(space("session", checked_id(session_id)))
        try:
            return None if head is None else self._loaded(head, guessed=True)
        except FramekeepError:
            return None  # a look says why it cannot be read

    def access(self, session_id: str, *, look: bool = False) -> Loaded:
        """Return the session as it was until now and move its expiry.

        Args:
            session_id: the session.
            look: whether ``left`` has to be what it is, however often others have moved the expiry since.

        An expiry that would move by less than a thousandth of the time to live, and a second, stays: somebody
        who pages through a session need not wait for a lock each time.
        """
        guess = None if look else self._guess(session_id)
        if guess is not None and not _moves_little(guess):
            # Moving the expiry tells the revision, and so whether the guess was right; if not, it stays.
            touched = self.engine.touch(space("session", session_id), guess.session.ttl, guess.revision)
            if touched == guess.revision:
                return guess
        loaded = self.load(session_id)
        if not _moves_little(loaded):
            self._touch(loaded, session_id)
        return loaded

    def glance(self, session_id: str) -> Loaded | None:
        """Return what ``access`` would, if that means waiting for nobody; None says nothing."""
        head = self.engine.glance(space("session", checked_id(session_id)))
        session = None if head is None else self._decoded.seen(head.revision)
        if head is None or session is None:
            return None
        loaded = Loaded(head.revision, session, session.ttl if head.ttl is None else head.ttl)
        return loaded if _moves_little(loaded) else None

    def _touch(self, loaded: Loaded, session_id: str) -> None:
        name = space("session", session_id)
        while True:
            # Whoever set another time to live since then must not find it replaced by the one loaded here.
            touched = self.engine.touch(name, loaded.session.ttl, loaded.revision)
            if touched is None:
                raise not_found(session_id)
            if touched == loaded.revision:
                return
            loaded = self.load(session_id)

    def read(
        self, session_id: str, view: Callable[[Loaded, Source], T], *, touch: bool = True, look: bool = False
    ) -> T:
        """Return ``view`` of the session; a view whose blobs were dropped meanwhile looks again.

        Args:
            session_id: the session.
            view: from the session and its source to the answer; may be called several times.
            touch: whether that moves the expiry.
            look: see ``access``.

        Raises:
            SessionDamagedError: a blob that the head names is missing or damaged.
            ConflictError: the session moved on every time it was looked at.
        """
        loaded = self.access(session_id, look=look) if touch else self.load(session_id)
        source = self.source(session_id)
        suspect: Revision | None = None
        for _ in range(_RELOADS):
            try:
                return view(loaded, source)
            except BlobMissing as error:
                suspect, loaded = self._judged(session_id, loaded, error, suspect)
            except SessionDamagedError as error:
                raise damaged(session_id, error) from error
        raise ConflictError(
            f"Session {session_id!r} changed each of the {_RELOADS} times it was read. Try again."
        )

    def source(self, session_id: str) -> Source:
        """Return the reader of a session's frames and marks."""
        return Source(self.engine, self.codec, space("session", session_id))

    # --- moving the head -------------------------------------------------------------------------

    def change(
        self,
        session_id: str,
        transition: Callable[[Session, Source], Step[T]],
        *,
        expected: Revision | None = None,
        told: Told | None = None,
    ) -> T:
        """Make a change that commutes with others: computed anew on each new head until it wins.

        Raises:
            ConflictError: it did not win for PATIENCE seconds, or the timeline is not at ``expected``.
        """

        return self._move(session_id, transition, expected=expected, told=told)

    def move(
        self,
        session_id: str,
        transition: Callable[[Session], Step[T]],
        *,
        expected: Revision | None = None,
        told: Told | None = None,
    ) -> T:
        """Make a change of the timeline that stands on the timeline as it is now (or at ``expected``).

        Raises:
            ConflictError: the timeline was changed by somebody else.
        """
        return self._move(
            session_id, lambda session, _: transition(session), expected=expected, pinned=True, told=told
        )

    def advance(
        self,
        session_id: str,
        frame: object,
        transition: Callable[[Session, State], Step[T]],
        *,
        expected: Revision | None = None,
        origin: Origin | None = None,
        told: Told | None = None,
    ) -> T:
        """Make a change that brings a frame.

        Marks follow the frame: those whose column or row it does not have are left out of its state.

        Args:
            session_id: the session.
            frame: a DataFrame or anything with ``__arrow_c_stream__``.
            transition: from the session and the frame's state to the next session.
            expected: the lineage that the frame was computed from; None: the one that is there now.
            origin: where its rows and columns were in that lineage's current frame; None: rows are where they
                were, and columns are known by their labels.
            told: called with the lineage that this leads to.

        Raises:
            ConflictError: the timeline is not that lineage (any more).
            InvalidInputError: ``origin`` does not fit the two frames.
            NotADataFrameError, UnsupportedTypeError, DataFrameTooLargeError: nothing is stored.
        """
        name = space("session", checked_id(session_id))
        source = self.source(session_id)
        guess = None if expected is None else self._guess(session_id)
        if guess is not None and guess.session.lineage != expected:
            guess = None
        suspect: Revision | None = None
        for _ in range(_ENCODINGS):
            loaded, guess = guess or self.load(session_id), None
            expected = loaded.session.lineage if expected is None else expected
            check_lineage(session_id, loaded.session, expected)
            line = loaded.session.timeline
            try:
                encoded = self.codec.encode(
                    frame,
                    present=source.live(line),
                    previous=source.manifest(line.current.frame),
                    stage=lambda batch: self.engine.stage(name, batch),
                )
                state, marks = source.state_after(line.current, encoded.manifest, origin)
            except BlobMissing as error:
                suspect, _ = self._judged(session_id, loaded, error, suspect)
                continue
            except SessionDamagedError as error:
                raise damaged(session_id, error) from error
            with suppress(_StagedGone):
                return self._commit_encoded(
                    loaded, session_id, expected, encoded, state, marks, transition, told
                )
        raise ConflictError(
            f"The parts of session {session_id!r} that were stored ahead were freed meanwhile. Try again."
        )

    def _commit_encoded(
        self,
        loaded: Loaded,
        session_id: str,
        expected: Revision,
        encoded: Encoded,
        state: State,
        marks: Mapping[Digest, bytes],
        transition: Callable[[Session, State], Step[T]],
        told: Told | None,
    ) -> T:
        def brought(session: Session, _: Source) -> Step[T]:
            step = transition(session, state)
            return replace(step, blobs={**encoded.blobs, **marks, **step.blobs})

        return self._move(session_id, brought, expected=expected, encoded=encoded, told=told, seen=loaded)

    def _move(
        self,
        session_id: str,
        transition: Callable[[Session, Source], Step[T]],
        *,
        expected: Revision | None = None,
        pinned: bool = False,
        encoded: Encoded | None = None,
        told: Told | None = None,
        seen: Loaded | None = None,
    ) -> T:
        """Commit a transition.

        Args:
            session_id: the session.
            transition: from the session as it is to the next one; may be called several times.
            expected: the lineage that the timeline must have; None: any.
            pinned: whether, where any will do, it must stay the one that was looked at first.
            encoded: the frame that comes with it.
            told: called with the lineage that this leads to.
            seen: how the session was lately: tried before another look.
        """
        name = space("session", checked_id(session_id))
        source = self.source(session_id)
        deadline = self._monotonic() + self._patience
        with self._mutexes.of(name):
            if seen is None or seen.guessed:
                done = self._move_unlooked(name, source, transition, expected, encoded, seen)
                if done is not None:
                    step, lineage = done
                    if told is not None:
                        told(lineage)
                    return step.result
                seen = None
            suspect: Revision | None = None
            attempt = 0
            while True:
                loaded, seen = seen or self.load(session_id), None
                if expected is None and pinned:
                    expected = loaded.session.lineage
                try:
                    if expected is not None:
                        check_lineage(session_id, loaded.session, expected)
                    step = transition(loaded.session, source)
                    if step.session is loaded.session and not step.audit:
                        self._confirm(name, loaded)
                        self._touch(loaded, session_id)
                        lineage = loaded.session.lineage
                    else:
                        lineage = self._commit(name, source, loaded, step, encoded)
                    if told is not None:
                        told(lineage)
                    return step.result
                except Conflict:
                    pass
                except BlobMissing as error:
                    if encoded is not None and encoded.staged and not source.names(loaded.session, error):
                        raise _StagedGone from error
                    suspect, _ = self._judged(session_id, loaded, error, suspect)
                except SessionDamagedError as error:
                    raise damaged(session_id, error) from error
                if self._monotonic() > deadline:
                    raise ConflictError(
                        f"Session {session_id!r} is so busy that a change did not get through in "
                        f"{self._patience:g} s; nothing was stored. Try again later."
                    )
                attempt += 1
                self._sleep(self._jitter() * min(0.05, 0.0005 * 2 ** min(attempt, 10)))

    def _move_unlooked(
        self,
        name: Space,
        source: Source,
        transition: Callable[[Session, Source], Step[T]],
        expected: Revision | None,
        encoded: Encoded | None,
        seen: Loaded | None,
    ) -> tuple[Step[T], Revision] | None:
        """Commit a transition of the session as it is guessed to be; None if it takes a look.

        A commit upon a wrong guess conflicts. What a guess does not allow may be allowed by what is there,
        and a change that is none may be one: so then somebody has to look.
        """
        session_id = name.partition(":")[2]
        tried: Revision | None = None
        for _ in range(_GUESSES):
            loaded = seen or self._guess(session_id)
            seen = None
            if loaded is None or loaded.revision == tried:
                return None
            if expected is not None and loaded.session.lineage != expected:
                return None
            tried = loaded.revision
            try:
                step = transition(loaded.session, source)
            except FramekeepError:
                return None
            if step.session is loaded.session and not step.audit:
                return None
            with suppress(Conflict, BlobMissing, SessionDamagedError):
                return step, self._commit(name, source, loaded, step, encoded)
        return None

    def _commit(
        self, name: Space, source: Source, loaded: Loaded, step: Step[T], encoded: Encoded | None
    ) -> Revision:
        before, after = loaded.session, step.session
        revision = self._revisions()
        if after.timeline != before.timeline:
            after = replace(after, lineage=revision)
        keep: frozenset[Digest] | None = None
        if _leaves_something(before.timeline, after.timeline, encoded):
            keep = source.live(after.timeline, *([encoded.manifest] if encoded else []))
        self.engine.commit(
            name,
            Change(
                expected=loaded.revision,
                revision=revision,
                body=after.encode(),
                blobs=step.blobs,
                keep=keep,
                log=step.audit,
                ttl=after.ttl,
            ),
        )
        return after.lineage

    def _confirm(self, name: Space, loaded: Loaded) -> None:
        """Commit a state once more: it may be stored and not acknowledged yet (I1; REDIS_MIN_REPLICAS)."""
        self.engine.commit(
            name,
            Change(expected=loaded.revision, revision=loaded.revision, body=loaded.session.encode()),
        )

    def _judged(
        self, session_id: str, loaded: Loaded, error: BlobMissing, suspect: Revision | None
    ) -> tuple[Revision | None, Loaded]:
        """Return the session as it is now, and its revision if that is still ``loaded`` and so suspect.

        Once, that may be no damage: when Redis went in between, this head may be older, as this machine has
        it, and all that it names is here. A second time for one revision, a blob that it names is gone.

        Raises:
            SessionDamagedError: so it is.
        """
        now = self.load(session_id)
        if now.revision != loaded.revision:
            return None, now
        if suspect == loaded.revision:
            raise missing(session_id, error, self.source(session_id).place(loaded.session, error)) from error
        return now.revision, now

    # --- the ends of a session -------------------------------------------------------------------

    def create(
        self,
        session_id: str,
        make: Callable[[Revision], tuple[Session, Encoded, bytes]],
        *,
        told: Told | None = None,
    ) -> bool:
        """Store a new session; False when the id is taken."""
        name = space("session", session_id)
        for _ in range(_ENCODINGS):
            revision = self._revisions()
            session, encoded, audit = make(revision)
            change = Change(
                expected=None,
                revision=revision,
                body=session.encode(),
                blobs=encoded.blobs,
                keep=encoded.manifest.digests if encoded.staged else None,
                log=[audit],
                ttl=session.ttl,
            )
            try:
                self.engine.commit(name, change)
            except Conflict:
                return False
            except BlobMissing:
                continue
            if told is not None:
                told(revision)
            return True
        raise ConflictError(
            f"The parts of session {session_id!r} that were stored ahead were freed meanwhile. Try again."
        )

    def delete(self, name: Space, *, expected: Revision | None = None) -> bool:
        """Delete a space with all it holds, a damaged one too; False when it is not there (any more).

        Args:
            name: the space.
            expected: of a session, the lineage that may be deleted; None: whatever it is now.

        Raises:
            ConflictError: the timeline is not ``expected``, or the space is too busy.
        """
        deadline = self._monotonic() + self._patience
        with self._mutexes.of(name):
            while True:
                try:
                    head = self.engine.load(name)
                except SessionDamagedError:
                    return self.engine.discard(name)
                if head is None:
                    return False
                if expected is not None:
                    check_lineage(name.partition(":")[2], Session.decode(head.body), expected)
                try:
                    self.engine.commit(
                        name, Change(expected=head.revision, revision=self._revisions(), body=None)
                    )
                except Conflict:
                    if self._monotonic() > deadline:
                        raise ConflictError(f"{name} is too busy to be deleted. Try again later.") from None
                    self._sleep(self._jitter() * 0.01)
                else:
                    return True


def check_lineage(session_id: str, session: Session, expected: Revision) -> None:
    """Raise ConflictError if the session's timeline is not the expected one.

    Raises:
        InvalidInputError: ``expected`` is nothing that ``revision`` gives.
    """
    if not isinstance(expected, bytes) or len(expected) != REVISION_SIZE:
        raise InvalidInputError(f"A revision is {REVISION_SIZE} bytes, as revision() gives them.")
    if session.lineage != expected:
        raise ConflictError(
            f"The data of session {session_id!r} was changed by somebody else since it was read; nothing "
            "was stored and nothing was lost. Read it again and repeat the change."
        )


def _leaves_something(before: Timeline, after: Timeline, encoded: Encoded | None) -> bool:
    """Say whether the space would hold what no state needs: dropped, staged, or of a version not kept."""
    if before.live() - after.live():
        return True
    return encoded is not None and (encoded.staged or encoded.manifest.digest not in after.frames())


class _StagedGone(Exception):
    """A commit named staged blobs that were freed meanwhile."""
