"""What lies at NATS: a work queue of jobs, and a stream of events. Each process makes what is missing."""

from typing import get_args

from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DiscardPolicy, RePublish, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError

from understudy.bus.base import Work

ALL_LOGS_BYTES = 1024**3
MESSAGES_PER_RUN = 50_000
DUPLICATES_S = 20.0
"""How long the stream knows what it was sent before: longer than anybody sends anything again."""
TAKE_S = 5.0
"""How long a job may stay unconfirmed in a worker's hands."""


def names(prefix: str) -> tuple[str, str]:
    """Return the names of the streams of jobs and of events."""
    return f"{prefix}_jobs".upper(), f"{prefix}_events".upper()


def lanes_of(work: Work) -> tuple[str, str]:
    """Return the names of a kind's consumers: of the jobs that go ahead, and of those that go behind."""
    return work, f"{work}_behind"


def lane_of(work: Work, *, behind: bool) -> str:
    """Return the name of a job's consumer, which is in its subject too."""
    return lanes_of(work)[behind]


async def make(manager: JetStreamContext, prefix: str, log_s: float) -> None:
    """Make what is missing, and change what is otherwise. `log_s`: how long an event is kept."""
    for stream in (_jobs(prefix), _events(prefix, log_s)):
        try:
            await manager.add_stream(stream)
        except BadRequestError:  # it is there, with other settings
            await manager.update_stream(stream)
    for lane in (lane for work in get_args(Work) for lane in lanes_of(work)):
        consumer = ConsumerConfig(
            durable_name=lane,
            filter_subject=f"{prefix}.jobs.{lane}.*",
            ack_wait=TAKE_S,
            max_ack_pending=100_000,
            max_waiting=10_000,
        )
        await manager.add_consumer(names(prefix)[0], consumer)


def _jobs(prefix: str) -> StreamConfig:
    """A job waits once in its lane, however often it is enqueued. Each lane has a consumer of its name."""
    return StreamConfig(
        name=names(prefix)[0],
        subjects=[f"{prefix}.jobs.>"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        discard=DiscardPolicy.NEW,
        discard_new_per_subject=True,
    )


def _events(prefix: str, log_s: float) -> StreamConfig:
    """What is stored is sent on, with its place."""
    return StreamConfig(
        name=names(prefix)[1],
        subjects=[f"{prefix}.run.*"],
        storage=StorageType.FILE,
        max_age=log_s,
        max_bytes=ALL_LOGS_BYTES,
        max_msgs_per_subject=MESSAGES_PER_RUN,
        discard=DiscardPolicy.OLD,
        duplicate_window=min(DUPLICATES_S, log_s),
        allow_direct=True,
        republish=RePublish(src=f"{prefix}.run.*", dest=f"{prefix}.live.{{{{wildcard(1)}}}}"),
    )
