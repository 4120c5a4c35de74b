"""The fetcher: payloads that are to come, asked for when they make no progress.

Silence may be a loss, or a line on which a chunk takes longer than one's patience. To ask for all
again would then fill the line with what comes anyhow, for ever. So one chunk is asked for first:
its answer stands behind everything that was sent before, and what has not come by then is lost.
And patience grows with the time that chunks have taken.

Several may have the same payload: experiments of two orchestrators that begin with the same model.
It is fetched once, of one of them, and where that one is silent the next is asked.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fedmq.clocks import Clock
from fedmq.messages.fields import Manifest
from fedmq.transport.routes import Route
from fedmq.transport.spool import Spool
from fedmq.types import Digest

PATIENCE_S: Final = 2.0
"""So long a payload may make no progress before its chunks are asked for."""
LAST_PATIENCE_S: Final = 60.0
MAX_ASKED: Final = 50_000
"""Chunks named in one request; the rest is asked for when these are here."""

Ask = Callable[[Manifest, Sequence[int], Route, str], str]
"""Asks for chunks; returns what their answers will name."""
Tell = Callable[[Digest], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Somebody who has a payload, and the experiment for which they are asked."""

    route: Route
    experiment: str


@dataclass(slots=True)
class _Want:
    manifest: Manifest
    sources: deque[_Source]
    """Whoever is asked next stands first."""
    ask_at: float
    num_missing: int
    since: float
    patience_s: float = PATIENCE_S
    asked: dict[str, _Source] = field(default_factory=dict)
    """The questions for one chunk without an answer: who was away may answer the first alone."""

    def next_source(self) -> _Source:
        """Return whose turn it is to be asked."""
        source = self.sources[0]
        self.sources.rotate(-1)
        return source

    def leave(self, experiment: str) -> bool:
        """Return whether an experiment was among those that want it, and is no more."""
        kept = [source for source in self.sources if source.experiment != experiment]
        if len(kept) == len(self.sources):
            return False
        self.sources = deque(kept)
        self.asked = {of: source for of, source in self.asked.items() if source in kept}
        return True


class Fetcher:
    """What one service waits for."""

    def __init__(self, spool: Spool, clock: Clock, ask: Ask, tell: Tell) -> None:
        self._spool = spool
        self._clock = clock
        self._ask = ask
        self._tell = tell
        self._wants: dict[Manifest, _Want] = {}
        """One may say a false size of another's payload: those are two."""
        self._is_connected = False
        self._chunk_at = clock.steady()
        self._pace_s = 0.0
        """How long the chunks of late had to be waited for."""

    def __len__(self) -> int:
        return len(self._wants)

    def want(self, manifest: Manifest, route: Route, experiment: str, *, at_once: bool) -> None:
        """Await a payload; ask for it at once, or only if it does not come by itself.

        What is awaited for another experiment already may be on its way: it is asked for once
        there is no progress.
        """
        now = self._clock.steady()
        source = _Source(route=route, experiment=experiment)
        want = self._wants.get(manifest)
        if want is None:
            want = self._wants[manifest] = _Want(
                manifest=manifest,
                sources=deque([source]),
                ask_at=now + PATIENCE_S,
                num_missing=manifest.num_chunks,
                since=now,
            )
        elif source not in want.sources:
            want.sources.appendleft(source)
            self._ask_soon(want)
            return
        if at_once:
            want.ask_at = now
            if self._is_connected and (missing := self._spool.missing(manifest)):
                self._ask_for(want, missing, source)
            self.tick()

    def arrived(self, manifest: Manifest) -> None:
        """Await a payload no more: it is here."""
        for known in [known for known in self._wants if known.digest == manifest.digest]:
            del self._wants[known]

    def saw_chunk(self, manifest: Manifest, answers: str | None) -> None:
        """Note that a chunk came, of whatever payload, perhaps the answer to a question."""
        now = self._clock.steady()
        if self._wants:
            since = max(self._chunk_at, min(want.since for want in self._wants.values()))
            self._pace_s = max(now - since, self._pace_s / 2)
        self._chunk_at = now
        want = self._wants.get(manifest)
        source = want.asked.get(answers) if want is not None and answers is not None else None
        if want is None or source is None:
            return
        want.asked.clear()
        missing = self._spool.missing(manifest)
        if missing:
            self._ask_for(want, missing, source)

    def drop(self, experiment: str) -> None:
        """Await nothing more for an experiment; what another one wants too is asked of that one."""
        for manifest, want in list(self._wants.items()):
            if not want.leave(experiment):
                continue
            if want.sources:
                self._ask_soon(want)
            else:
                del self._wants[manifest]

    def connected(self) -> None:
        """Look again: what was under way is lost, and soon asked for."""
        self._is_connected = True
        for want in self._wants.values():
            want.patience_s = self._patience_s
            want.asked.clear()
            want.ask_at = min(want.ask_at, self._clock.steady() + want.patience_s)
        self.tick()

    def disconnected(self) -> None:
        """Ask for nothing."""
        self._is_connected = False

    def tick(self) -> None:
        """Ask for the payloads that are due and have made no progress since they were looked at."""
        if not self._is_connected:
            return
        now = self._clock.steady()
        for want in list(self._wants.values()):
            if want.ask_at > now:
                continue
            missing = self._spool.missing(want.manifest)
            if not missing:
                # An earlier life or another process of the same home had the last chunk.
                self.arrived(want.manifest)
                self._tell(want.manifest.digest)
                continue
            if len(missing) < want.num_missing:
                want.patience_s = self._patience_s
            elif now < min(self._chunk_at + self._patience_s, want.since + LAST_PATIENCE_S):
                # Others' chunks are coming: these may stand in the same queue behind them.
                want.patience_s = self._patience_s
            else:
                one = missing[:1]
                source = want.next_source()
                question = self._ask(want.manifest, one, source.route, source.experiment)
                want.asked[question] = source
                want.patience_s = min(LAST_PATIENCE_S, 2 * want.patience_s)
            want.num_missing = len(missing)
            want.ask_at = now + want.patience_s

    @property
    def _patience_s(self) -> float:
        return min(LAST_PATIENCE_S, max(PATIENCE_S, 2 * self._pace_s))

    def _ask_soon(self, want: _Want) -> None:
        """Let no patience with those who were asked so far hold up the next one."""
        want.patience_s = self._patience_s
        want.ask_at = min(want.ask_at, self._clock.steady() + want.patience_s)

    def _ask_for(self, want: _Want, missing: Sequence[int], source: _Source) -> None:
        """Ask one who has it for all that is missing: nothing of it is on its way."""
        everything = len(missing) == want.manifest.num_chunks
        chunks = () if everything else missing[:MAX_ASKED]
        self._ask(want.manifest, chunks, source.route, source.experiment)
        want.num_missing = len(missing)
        want.patience_s = min(LAST_PATIENCE_S, 2 * want.patience_s)
        want.ask_at = self._clock.steady() + want.patience_s
