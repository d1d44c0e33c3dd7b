"""The runs of all visitors, one after the other: whose turn it is, how far the present run is, what may end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from page.loading import heavy
from page.memory import give_back
from page.priority import yield_to_live
from page.settings import DEFAULTS, ServerSettings
from page.speeds import Speeds, Work
from page.tally import Tally
from page.turns import Allowance, Turns
from perfrdiff.coefficients import FPS
from perfrdiff.errors import InputError
from perfrdiff.pipeline.folder import ReactResult
from perfrdiff.pipeline.request import ReactRequest

if TYPE_CHECKING:
    from pathlib import Path

    from perfrdiff.features.media.video import Part
    from perfrdiff.pipeline.follow import Event
    from perfrdiff.pipeline.input_memory import InputMemory
    from perfrdiff.pipeline.run import ReadyReactions
    from perfrdiff.pipeline.take import Take

GRACE_SECONDS = 20.0  # a run whose visitor is gone goes on for so long: a reloaded tab finds it again
TICK_SECONDS = 0.5  # between two looks at a run
END_SECONDS = 60.0  # after which a run that was told to end, and has not, hangs
WAITING, WORKING, DONE, FAILED, CANCELLED = "waiting", "working", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)


@dataclass(eq=False)
class Job:
    """One run, from the queue to its end."""

    request: ReactRequest
    work: Work  # how much there is to do
    inputs: InputMemory | None = None  # of the visit: whom it need not read again
    client: str = ""  # whose turn it is when it is this run's
    take: Take | None = None  # what a live session showed, where that is to be written
    state: str = WAITING
    stage: str = ""  # a key of `pipeline.STAGES`
    fraction: float = 0.0  # 0 … 1 of the whole
    ready: ReadyReactions | None = None  # once the reactions exist, before the videos do
    result: ReactResult | None = None  # once done
    error: Exception | None = None  # once failed
    followers: int = 0
    is_cancelled: threading.Event = field(default_factory=threading.Event)
    began: dict[str, float] = field(default_factory=dict)  # stage -> time.monotonic() of its beginning
    asked_at: float = field(default_factory=time.monotonic)
    begun_at: float = 0.0
    told_at: float = 0.0  # when it was told to end


@dataclass(frozen=True)
class Look:
    """What is known of a job at one moment."""

    state: str
    stage: str
    fraction: float
    ahead: int  # runs before this one, that which goes on included
    wait_seconds: float  # until it begins
    left_seconds: float  # until it ends, waiting included
    is_ready: bool = False  # whether the reactions exist


class Jobs:
    """The queue, and the thread that works it off. Visitors take turns: see `Turns`."""

    def __init__(self, settings: ServerSettings = DEFAULTS) -> None:
        self._settings = settings
        self.tally = Tally()
        self._allowance = Allowance(settings.client_jobs, settings.client_minutes, "runs")
        self._waiting: Turns[Job] = Turns()
        self._present: Job | None = None
        self._changed = threading.Condition()
        self._speeds = Speeds()
        self._worker: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return len(self._waiting)

    @property
    def stage(self) -> str:
        """The stage of the present run; "" where none goes on."""
        present = self._present
        return present.stage if present is not None else ""

    @property
    def is_stuck(self) -> bool:
        """Whether the present run was told to end and has not for `END_SECONDS`: only a new process helps then."""
        present = self._present
        return present is not None and present.told_at > 0 and time.monotonic() - present.told_at > END_SECONDS

    def submit(
        self,
        request: ReactRequest,
        inputs: InputMemory | None = None,
        client: str = "",
        address: str | None = None,
        take: Take | None = None,
    ) -> Job:
        """Put a run into the queue. `inputs`: see `pipeline.run.react`; `take`: see `pipeline.run.write_take`.

        client: whose run it is; each has turns of their own.
        address: whose share of the window's runs it counts to; None for `client`.
        Raises InputError: the speaker's file cannot be used, too many wait already, or the share is used up.
        """
        request = replace(
            request,
            max_seconds=min(request.max_seconds, self._settings.longest_seconds),
            credentials_key=self._settings.credentials_key,
            credentials_certificate=self._settings.credentials_certificate,
        )
        work = _work_of(request) if take is None else _work_of_take(request, take)
        job = Job(request, work, inputs, client, take)
        with self._changed:
            self._check_room(client)
            self._allowance.use(client if address is None else address)
            self._waiting.add(job, client, max(1.0, self._speeds.seconds_left(job.work, "", {}, 0.0)))
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="runs", daemon=True)
                self._worker.start()
            self._changed.notify_all()
        return job

    def cancel(self, job: Job) -> None:
        """End a run: at once while it waits, else when the pipeline next looks."""
        with self._changed:
            if job.state in ENDED:
                return
            self._tell_to_end(job)
            if self._waiting.remove(job):
                self._end(job, CANCELLED)
            self._changed.notify_all()

    def follow(self, job: Job) -> Iterator[Look]:
        """Looks at a job, every `TICK_SECONDS` and when it enters another stage; the last when it has ended.

        When nobody has followed a job for `GRACE_SECONDS` it is cancelled.
        """
        with self._changed:
            job.followers += 1
        try:
            while True:
                with self._changed:
                    look = self._look(job)
                yield look
                if look.state in ENDED:
                    return
                with self._changed:
                    self._changed.wait_for(lambda look=look: _has_turned(job, look), TICK_SECONDS)
        finally:
            with self._changed:
                job.followers -= 1
            if job.state not in ENDED:
                timer = threading.Timer(GRACE_SECONDS, self._cancel_if_left, (job,))
                timer.daemon = True
                timer.start()

    def _cancel_if_left(self, job: Job) -> None:
        if job.followers == 0 and job.state not in ENDED:
            self.cancel(job)

    def _check_room(self, client: str) -> None:
        """Raise InputError where nobody, or not this visitor, may put another run into the queue."""
        waiting, own = list(self._waiting), self._waiting.count(client)
        if own >= self._settings.client_queue:
            raise InputError(f"{own} runs of yours wait already; let one of them end first. What you chose stays here.")
        if len(waiting) >= self._settings.queue:
            minutes = self._look(waiting[-1]).left_seconds / 60
            raise InputError(
                f"{len(waiting)} runs wait already, and this machine makes one after the other. Please try "
                f"again in about {max(1, round(minutes / 2))} minutes; what you chose stays here."
            )

    def _tell_to_end(self, job: Job) -> None:
        job.is_cancelled.set()
        job.told_at = job.told_at or time.monotonic()

    def _end(self, job: Job, state: str) -> None:
        """A run has come to its end, once."""
        with self._changed:
            if job.state in ENDED:
                return
            now = time.monotonic()
            self.tally.count(state, (job.begun_at or now) - job.asked_at, now - job.begun_at if job.begun_at else None)
            job.state = state

    def _look(self, job: Job) -> Look:
        if job.state in ENDED:
            return Look(job.state, job.stage, job.fraction, 0, 0.0, 0.0, job.ready is not None)
        ahead = [] if job is self._present else [self._present] if self._present else []
        for other in self._waiting if job is not self._present else ():
            if other is job:
                break
            ahead.append(other)
        wait = sum(map(self._seconds_left, ahead))
        left = wait + self._seconds_left(job)
        return Look(job.state, job.stage, job.fraction, len(ahead), wait, left, job.ready is not None)

    def _seconds_left(self, job: Job) -> float:
        return self._speeds.seconds_left(job.work, job.stage, job.began, job.fraction)

    def _work(self) -> None:
        yield_to_live()
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                job = self._present = self._waiting.take()
                job.state, job.begun_at = WORKING, time.monotonic()
                self._changed.notify_all()
            self._run(job)
            with self._changed:
                self._present = None
                self._changed.notify_all()
            del job
            give_back()

    def _run(self, job: Job) -> None:
        deadline = threading.Timer(60 * self._settings.job_minutes, self._expire, (job,))
        deadline.daemon = True
        deadline.start()
        try:
            with closing(follow(job.request, job.inputs, job.take)) as events:
                for event in events:
                    if job.is_cancelled.is_set():
                        self._end(job, CANCELLED)
                        return
                    self._take(job, event)
        except Exception as error:
            job.error = job.error or error
            self._end(job, CANCELLED if job.is_cancelled.is_set() else FAILED)
        finally:
            deadline.cancel()

    def _expire(self, job: Job) -> None:
        """A run has used up its time: for its visitor it ends now, for the machine when the pipeline next looks."""
        with self._changed:
            job.error = job.error or InputError(
                f"The run took longer than {self._settings.job_minutes:g} minutes, which is the most that one may take "
                "here; choose a shorter part, fewer reactions or smaller pictures."
            )
            self._tell_to_end(job)
            self._end(job, FAILED)
            self._changed.notify_all()

    def _take(self, job: Job, event: Event) -> None:
        pipeline = heavy("perfrdiff.pipeline.follow")
        with self._changed:
            if isinstance(event, pipeline.StageReport):
                job.began.setdefault(event.stage, time.monotonic())
                job.stage, job.fraction = event.stage, event.fraction
            elif isinstance(event, pipeline.ReadyReactions):
                job.ready = event
            else:
                job.result = event
                self._end(job, DONE)
                if job.take is None:  # a take says nothing about what tracking and thinking cost
                    self._speeds.learn(job.work, event.stage_seconds)
            self._changed.notify_all()


def follow(request: ReactRequest, inputs: InputMemory | None, take: Take | None = None) -> Iterator[Event]:
    """What happens in a run; see `perfrdiff.pipeline.follow`."""
    return heavy("perfrdiff.pipeline.follow").follow(request, inputs, take)


def _has_turned(job: Job, look: Look) -> bool:
    """Whether something else than time has changed since."""
    return (job.state, job.stage, job.ready is not None) != (look.state, look.stage, look.is_ready)


def _work_of(request: ReactRequest) -> Work:
    """How much a run has to do; raises InputError where the speaker's file cannot be used."""
    reader = heavy("perfrdiff.features.media.input")
    part = reader.Part(request.speaker_start, request.speaker_end)
    with reader.open_input(request.speaker, request.max_seconds, part) as media:
        if media.kind == "table":
            seconds, tracked = len(media.table().coefficients) / FPS, 0.0
        else:
            seconds = tracked = media.info.seconds
    tracked += _video_seconds(request.listener, reader.Part(request.listener_start, request.listener_end))
    if request.other_listener is not None:
        tracked += _video_seconds(request.other_listener, reader.Part())
    return Work(
        speaker_seconds=seconds,
        tracked_seconds=tracked,
        samples=request.count,
        steps=request.steps or 10,
        pictures=_pictures_of(request),
    )


def _video_seconds(path: Path, part: Part) -> float:
    """How much of a listener's file has to be tracked; nothing where it is no good, which the run says."""
    reader = heavy("perfrdiff.features.media.input")
    with suppress(InputError), reader.open_input(path, part=part) as media:
        return media.info.seconds if media.kind == "video" else 0.0
    return 0.0


def _work_of_take(request: ReactRequest, take: Take) -> Work:
    """Of what a live session showed, nothing is tracked or thought up again."""
    return Work(take.frames / FPS, 0.0, request.samples, 0, _pictures_of(request))


def _pictures_of(request: ReactRequest) -> float:
    videos = len(request.views) + (2 if request.transparent else 0)
    return request.count * videos * (request.size / 256) ** 2
