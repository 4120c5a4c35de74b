"""One example of every message, for tests that go through all of them."""

from typing import Final

from fedmq.messages.codec import Message
from fedmq.messages.data import DatasetSummary, KnownNode, ModalitySummary
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import DictionaryReference, Manifest, PlanReference, RatioField, Study
from fedmq.messages.mandates import ExperimentSpec, Mandate, Order
from fedmq.messages.notices import (
    Activity,
    ExperimentOver,
    ExperimentOverview,
    Heartbeat,
    Hello,
    NodeOnline,
    NodeOverview,
    Overview,
    Receipt,
    RosterNotice,
    Welcome,
)
from fedmq.messages.payloads import Chunk, ResendRequest, chunk_hash, make_manifest
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
    Failure,
    FailureCode,
    PingReply,
    PrepareReply,
    Refusal,
    RefusalCode,
    TrainReply,
)
from fedmq.messages.requests import (
    CancelRequest,
    EvaluateRequest,
    PingRequest,
    PrepareRequest,
    TrainRequest,
)
from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    NodeOutcome,
    NodesReport,
    NodeStanding,
    OrderReport,
    Query,
    QueryKind,
    Rejection,
    ReportList,
    RoundRecord,
    Stand,
    Submission,
)
from fedmq.types import Digest

DATA: Final = bytes(range(256))
MANIFEST: Final = make_manifest([DATA], chunk_bytes=1024)
PLAN: Final = PlanReference(name="petct-survival", digest=Digest("ab" * 32), is_shipped=True)
METRICS: Final = {"loss": RatioField(numerator=3.5, denominator=7.0)}
STUDY: Final = Study(protocol="FEDPET-01", ethics="CPP 2026-117", end="2027-12-31")
SPEC: Final = ExperimentSpec(
    name="pfs-12",
    purpose="progression-free survival at 12 months",
    plan=PLAN,
    dataset="petct",
    config={"epochs": 1, "rate": 0.01, "cut_days": [90, 180], "mask": True},
    num_rounds=3,
    nodes=["chu-lyon", "ghu-paris"],
    quorum=2,
    study=STUDY,
)
RECORD: Final = RoundRecord(
    round=1,
    attempt=1,
    model=Digest("cd" * 32),
    outcomes=[NodeOutcome(node="chu-lyon", outcome="updated", num_cases=7, duration_s=1.5)],
    train_metrics=METRICS,
    metrics=METRICS,
    bytes_up=10,
    bytes_down=5,
    duration_s=2.0,
)
DATASET = DatasetSummary(
    dataset="lung-petct",
    num_cases=40,
    least_cell=10,
    modalities=[
        ModalitySummary(
            modality="CT", num_cases=30, least_mm=[1.0, 1.0, 2.5], most_mm=[1.5, 1.5, 3.0]
        ),
        ModalitySummary(modality="PET", num_cases=None, least_mm=None, most_mm=None),
    ],
    dictionary=DictionaryReference(name="lung-io", version="1.0", digest=Digest("ab" * 32)),
)
REPORT: Final = ExperimentReport(
    experiment="pfs-12-a1",
    spec=SPEC,
    state="training",
    reason="1 of 2; waiting for ghu-paris",
    round=2,
    model=MANIFEST,
    records=[RECORD],
    nodes=[
        NodeStanding(node="chu-lyon", stand=Stand.TAKES_PART),
        NodeStanding(node="ghu-paris", stand=Stand.WAITS, code="out_of_hours", retry_at=9.5),
    ],
)
MANDATE: Final = Mandate(
    content=Order(
        experiment="pfs-12-a1",
        researcher="r-one",
        orchestrator="orchestrator",
        spec=SPEC,
        initial=MANIFEST,
    ).model_dump_json(),
    signature="0f" * 64,
)
BODIES: Final[tuple[Body, ...]] = (
    PrepareRequest(mandate=MANDATE, plan_source="class Plan: ..."),
    TrainRequest(mandate=MANDATE, parameters=MANIFEST),
    EvaluateRequest(mandate=MANDATE, parameters=MANIFEST),
    CancelRequest(before_attempt=2),
    PingRequest(asked_at=1.5),
    PrepareReply(num_training_cases=8, num_validation_cases=2),
    TrainReply(update=MANIFEST, num_cases=8, metrics=METRICS, duration_s=2.5),
    EvaluateReply(num_cases=2, metrics=METRICS, duration_s=0.5),
    PingReply(asked_at=1.5),
    Refusal(code=RefusalCode.OUT_OF_HOURS, request_type="train.request", retry_at=9.5),
    Failure(code=FailureCode.OUT_OF_MEMORY, request_type="train.request", incident="i-1"),
    Receipt(of="m-1"),
    NodeOnline(version="0.1.0"),
    Hello(nonce="1800000000000.1", datasets=[DATASET]),
    Welcome(nonce="1800000000000.1"),
    Heartbeat(version="0.1.0", activity=Activity.TRAINING, progress=0.5, num_waiting=1),
    Overview(
        version="0.1.0",
        nodes=[
            NodeOverview(
                node="chu-lyon",
                heard_at=1.0,
                activity=Activity.IDLE,
                experiment="-",
                round=0,
                progress=0.0,
            )
        ],
        experiments=[
            ExperimentOverview(
                experiment="pfs-12-a1", state="training", round=1, num_rounds=3, reason="2 of 2"
            )
        ],
        stand_bys=1,
    ),
    RosterNotice(content='{"version":1}', signature="0f" * 64),
    ExperimentOver(state="finished", reason=""),
    Submission(mandate=MANDATE, plan_source="class Plan: ..."),
    Acceptance(experiment="pfs-12-a1"),
    Rejection(reason="the quorum is larger than the list of nodes"),
    Query(kind=QueryKind.STOP, experiment="pfs-12-a1"),
    REPORT,
    ReportList(reports=[REPORT], num_running=2),
    OrderReport(mandate=MANDATE),
    NodesReport(nodes=[KnownNode(node="chu-lyon", heard_at=1_800_000_000.5, datasets=[DATASET])]),
    Chunk(manifest=MANIFEST, index=0, sha256=chunk_hash(DATA)),
    ResendRequest(
        manifest=Manifest(digest=Digest("ef" * 32), size_bytes=9, chunk_bytes=4), missing=[0, 2]
    ),
)


def a_message(body: Body) -> Message:
    """Return `body` in an envelope, with the bytes of the chunk where it is one."""
    return Message(
        envelope=Envelope(
            type=body.TYPE,
            message_id="pfs-12-a1.1.1.train.chu-lyon",
            correlation_id="m-1",
            sender="chu-lyon",
            recipient="-",
            experiment="pfs-12-a1",
            round=1,
            attempt=1,
            sent_at=1_700_000_000.25,
            expires_at=1_700_000_060.0,
            roster=3,
            roster_hash="cd" * 32,
            epoch=1_700_000_001,
            stream="0123456789abcdef",
            counter=17,
        ),
        body=body,
        data=DATA if isinstance(body, Chunk) else b"",
    )
