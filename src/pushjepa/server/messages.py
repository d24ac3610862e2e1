"""What goes over the socket: typed, versioned JSON messages, one class each. ``docs/protocol.md`` describes them.

Positions are board pixels; a board state is seven numbers ``[p1x, p1y, p2x, p2y, block x, block y, angle]``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import from_json

from pushjepa.adaptation.system_m import Act
from pushjepa.adaptation.system_m import State as MindState
from pushjepa.relay import Side

PROTOCOL_VERSION = 2
MAX_MESSAGE_BYTES = 16_384  #: a longer message from a client is refused
MAX_UPLOAD_BYTES = 4 << 20  #: a longer replay file is refused
MAX_SEED = 2**53 - 1  #: seeds stay whole numbers in JavaScript

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
State = Annotated[list[float], Field(min_length=7, max_length=7)]
Phase = Literal["human", "opponent", "over"]
Mode = Literal["adaptive", "frozen"]
ErrorCode = Literal[
    "malformed", "wrong_version", "too_large", "invalid", "out_of_turn", "unknown_match", "unavailable",
    "opponent_failed", "busy", "internal",
]  # fmt: skip


class Part(BaseModel):
    """The base of everything on the wire: frozen, strict, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Message(Part):
    """A whole message; each has its ``type`` beside the version."""

    v: Literal[2] = 2


# From the client ------------------------------------------------------------------------------------------------------


class Hello(Message):
    """Ask who is there; answered with ``welcome``."""

    type: Literal["hello"] = "hello"


class Players(Part):
    """Who sits where: a policy's name in each seat."""

    p1: Name
    p2: Name


class NewMatch(Message):
    """Start a match; answered with ``match_state``. What is left out is chosen by the server.

    With ``players`` two policies play each other, and ``next`` sets the pace; else a person sits at ``side``. ``mode``
    is how policies that can adapt go about it.
    """

    type: Literal["new_match"] = "new_match"
    stage: Name = "open"
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    side: Side | None = None
    first: Side | None = None
    opponent: Name | None = None
    players: Players | None = None
    physics: dict[Name, float | str] = Field(default_factory=dict, max_length=16)
    mode: Mode = "adaptive"

    @model_validator(mode="after")
    def _one_kind(self) -> NewMatch:
        if self.players is not None and (self.side is not None or self.opponent is not None):
            raise ValueError("give either players, or side and opponent")
        return self


class Resume(Message):
    """Come back to a match, also after the server was restarted; answered with ``match_state``.

    ``mode`` is not stored: it counts for a match that nobody had open. One that goes on keeps its own.
    """

    type: Literal["resume"] = "resume"
    match_id: Name
    mode: Mode = "adaptive"


class HumanTurn(Message):
    """Play the person's turn, by way-points or by a raw action block; answered with ``turn_result``."""

    type: Literal["human_turn"] = "human_turn"
    turn: int | None = None
    waypoints: Annotated[list[Pair], Field(min_length=1, max_length=3)] | None = None
    block: Annotated[list[Pair], Field(min_length=5, max_length=5)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> HumanTurn:
        if (self.waypoints is None) == (self.block is None):
            raise ValueError("give either waypoints or block")
        return self


class Next(Message):
    """Let the policy whose move it is play ``turn`` of a match without a person."""

    type: Literal["next"] = "next"
    turn: int


class ChangePhysics(Message):
    """Change the laws from the next turn that nobody plans yet; answered with ``physics_changed``.

    ``physics`` need not be whole: what is left out stays as it was last changed, be that still to come or not.
    """

    type: Literal["change_physics"] = "change_physics"
    physics: Annotated[dict[Name, float | str], Field(min_length=1, max_length=16)]


class Adapt(Message):
    """Let the match's policies that can adapt do so from now on, or notice only; answered with ``mind``.

    Frozen ones give up what they had adapted. While a policy thinks the answer waits for its move.
    """

    type: Literal["adapt"] = "adapt"
    match_id: Name
    mode: Mode


class Restore(Message):
    """Let those policies forget what they adapted, in either mode; answered with ``mind``, as ``adapt`` is."""

    type: Literal["restore"] = "restore"
    match_id: Name


ClientMessage = Hello | NewMatch | Resume | HumanTurn | Next | ChangePhysics | Adapt | Restore
_CLIENT: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


# From the server ------------------------------------------------------------------------------------------------------


class ModelView(Part):
    """The world model behind the opponent."""

    name: str
    state: Literal["none", "loading", "ready", "failed"]
    parameters: int | None = None
    detail: str | None = None


class StageView(Part):
    """A stage that can be chosen."""

    name: str
    title: str


class OpponentView(Part):
    """An opponent that can be chosen.

    ``fixed`` says in a sentence why it does not adapt to other laws of physics; null for one that does.
    """

    name: str
    title: str
    summary: str
    available: bool
    fixed: str | None = None


class LawView(Part):
    """A law that is a number: how low and how high it may be, and what it usually is. ``Physics`` has the units."""

    name: str
    low: float
    high: float
    standard: float


class ShapeView(Part):
    """A shape of the block, as polygons about its centre at angle zero and scale 1, px."""

    name: str
    parts: list[list[Pair]]


class LawsView(Part):
    """All that can be changed about the physics; ``shape`` is the block's usual one."""

    numbers: list[LawView]
    shape: str
    shapes: list[ShapeView]


class Welcome(Message):
    """Who answers, and what can be chosen."""

    type: Literal["welcome"] = "welcome"
    version: str
    model: ModelView
    stages: list[StageView]
    opponents: list[OpponentView]
    laws: LawsView
    turns: int
    max_waypoints: int
    upload_bytes: int


class PillarView(Part):
    """A fixed disc."""

    kind: Literal["pillar"] = "pillar"
    x: float
    y: float
    radius: float


class WallView(Part):
    """A fixed rectangle."""

    kind: Literal["wall"] = "wall"
    left: float
    top: float
    right: float
    bottom: float


class SceneView(Part):
    """All that is needed to draw the board; ``block_parts`` are polygons about the block's centre at angle zero.

    They are the block's as the match was set up; each of its ``changes`` says what the block looks like from then on.
    """

    size: float
    wall_inset: float
    agent_radius: float
    goal_radius: float
    goals: dict[Side, Pair]
    obstacles: list[PillarView | WallView]
    block_parts: list[list[Pair]]


class ChangeView(Part):
    """The laws that hold from ``turn`` on, until the next change, and the block's polygons under them."""

    turn: int
    physics: dict[str, float | str]
    block_parts: list[list[Pair]]


class LawsNow(Part):
    """The laws of the turn that is to be played now, and the change that is to come after it, if any.

    Once the match is over, ``now`` are those of its last turn.
    """

    now: dict[str, float | str]
    coming: ChangeView | None


class TraceView(Part):
    """One iteration of a search, candidate by candidate, S of them.

    ``costs`` (S,); ``elites`` are the candidates that the next iteration is fitted to, cheapest first; ``agents``
    (S, 2) is where the model thinks the agent ends, ``paths`` (S, 5, 2) where the commanded velocities alone would
    lead it after each step, ``blocks`` (S, H, 2) where the model thinks the block is after each imagined turn.
    """

    costs: list[float]
    elites: list[int]
    agents: list[Pair]
    paths: list[list[Pair]]
    blocks: list[list[Pair]]


class PlanView(Part):
    """What a policy had in mind: cost by iteration, the state it expects, the time it took in milliseconds.

    ``context`` counts the frames that its model was given; null for one that sees the state. ``reply`` is where it
    expects the other agent to go in its answer, its place after each step; null for one that reckons with no answer.
    """

    cost: float
    cost_by_iteration: list[float]
    predicted: State
    ms: float
    context: int | None = None
    reply: Annotated[list[Pair], Field(min_length=5, max_length=5)] | None = None


class Standing(Part):
    """How the board stands: the block's distance to each goal and how much nearer it came since the start, px."""

    distances: dict[Side, float]
    progress: dict[Side, float]


class Odds(Part):
    """How likely each side is to win; a draw counts as half a win for each, so the two sum to 1."""

    p1: float
    p2: float


class Telemetry(Part):
    """What a turn cost and how well its plan foresaw it; null where there was no plan.

    ``context`` counts the frames that the model was given, ``ms`` is the planning time. Errors compare the plan's
    predicted end with the true one: the block, the acting and the waiting agent in px, the angle in degrees.
    ``block_moved`` is how far the block really went, px; ``push_ratio`` how much of that was foreseen (1 is right,
    null if it was 10 px or less).
    """

    context: int | None
    ms: float | None
    block_moved: float
    block_error: float | None
    agent_error: float | None
    waiter_error: float | None
    angle_error: float | None
    push_ratio: float | None


class DecodeError(Part):
    """How far a decoded state is from the true one: both agents and the block in px, the angle in degrees."""

    p1: float
    p2: float
    block: float
    angle: float


class Played(Part):
    """One turn that was played: its action block, the states and standings after each of its five steps.

    ``player`` is who acted: a policy's name, or ``human``. ``physics`` are the laws that it was played under.
    """

    turn: int
    side: Side
    player: str
    block: list[Pair]
    states: list[State]
    standings: list[Standing]
    standing: Standing
    telemetry: Telemetry
    odds: Odds | None
    physics: dict[str, float | str]


class TurnView(Played):
    """A turn of a match's history, with the plan behind it if there was one."""

    plan: PlanView | None = None


class ResultView(Part):
    """How a match ended; no winner is a draw."""

    winner: Side | None
    standing: Standing


class MatchState(Message):
    """Everything needed to draw a match and go on with it.

    ``physics`` are the laws that it was set up with, ``changes`` what became of them: past ones and those to come.
    """

    type: Literal["match_state"] = "match_state"
    match_id: str
    stage: str
    seed: int
    first: Side
    players: dict[Side, str]
    human: Side | None
    opponent: str | None
    imported: bool
    physics: dict[str, float | str]
    changes: list[ChangeView]
    laws: LawsNow
    scene: SceneView
    turns: int
    turn: int
    phase: Phase
    start: State
    state: State
    standing: Standing
    odds: Odds | None
    history: list[TurnView]
    result: ResultView | None


class Thinking(Message):
    """A policy has begun to think."""

    type: Literal["thinking"] = "thinking"
    match_id: str
    turn: int
    side: Side
    player: str


class PlanMade(Message):
    """What a policy is about to do and why; comes just before its ``turn_result``, if it plans at all."""

    type: Literal["plan"] = "plan"
    match_id: str
    turn: int
    side: Side
    plan: PlanView
    trace: list[TraceView]


class TurnResult(Played, Message):
    """A turn was played and is stored; ``laws`` are those of the turn that comes now."""

    type: Literal["turn_result"] = "turn_result"
    match_id: str
    laws: LawsNow
    phase: Phase
    next: Side | None


class PhysicsChanged(Message):
    """The laws are changed from ``turn`` on, and that is stored. ``changes`` are all of the match, as it is now."""

    type: Literal["physics_changed"] = "physics_changed"
    match_id: str
    turn: int
    changes: list[ChangeView]
    laws: LawsNow


class DecodedState(Part):
    """What the world model reads off the frame after ``turn`` turns, and how far from the truth that is."""

    turn: int
    state: State
    error: DecodeError


class Decoded(DecodedState, Message):
    """The newest frame as the world model sees it; comes some time after the turn that led to it."""

    type: Literal["decoded"] = "decoded"
    match_id: str


class Belief(Part):
    """A law that is believed to differ from the standard one; a number in the units of ``Physics``, or a shape."""

    name: str
    value: float | str
    standard: float | str


class MindEvent(Part):
    """How a policy's world model was surprised at a boundary, and what followed.

    ``turn`` counts the turns before the boundary, so it is the number of the turn that was foreseen, from 1. ``px`` is
    how far off that was, ``level`` the same in standard deviations above the usual, ``drift`` their cumulative sum and
    ``alarm`` whether it reached the threshold. ``act`` is what was done, empty for nothing: it took ``ms``, and
    ``steps`` of gradient if weights were learned. ``beliefs`` are those from then on.
    """

    turn: int
    px: float
    level: float
    drift: float
    alarm: bool
    act: Act
    steps: int
    ms: float
    beliefs: list[Belief]


class Mind(Message):
    """How the policy at ``side`` adapts: after each of its moves, after ``adapt`` and ``restore``, and to who comes in.

    ``state`` says whether it goes by anything but the model as it was given; ``events`` are all of the match so far.
    """

    type: Literal["mind"] = "mind"
    match_id: str
    side: Side
    mode: Mode
    state: MindState
    threshold: float
    beliefs: list[Belief]
    events: list[MindEvent]


class MatchOver(Message):
    """The match has ended."""

    type: Literal["match_over"] = "match_over"
    match_id: str
    winner: Side | None
    standing: Standing


class Error(Message):
    """What the client sent (or asked for) did not work; the match is as it was before."""

    type: Literal["error"] = "error"
    code: ErrorCode
    message: str


ServerMessage = (
    Welcome | MatchState | Thinking | PlanMade | TurnResult | PhysicsChanged | Mind | Decoded | MatchOver | Error
)
SERVER_MESSAGES: TypeAdapter[ServerMessage] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")])


# Over HTTP ------------------------------------------------------------------------------------------------------------


class MatchSummary(Part):
    """One line of the list of matches; ``turns`` counts those that were played."""

    match_id: str
    created: str
    stage: str
    seed: int
    first: Side
    players: dict[Side, str]
    human: Side | None
    opponent: str | None
    turns: int
    result: ResultView | None
    imported: bool


class MatchList(Part):
    """A page of past matches, newest first; ``next`` is the ``before`` of the following page, null at the end."""

    matches: list[MatchSummary]
    next: int | None


class Total(Part):
    """How people did against one opponent in finished matches; ``net_progress`` is their mean in px."""

    opponent: str
    played: int
    won: int
    lost: int
    drawn: int
    net_progress: float


class Totals(Part):
    """How people did against each opponent, the most played first."""

    totals: list[Total]


class StoredPlan(Part):
    """The plan behind a stored turn, with everything its search looked at."""

    turn: int
    side: Side
    plan: PlanView
    trace: list[TraceView]


class DecodedList(Part):
    """What the world model reads off every frame of a match; none until it is ``ready``."""

    state: Literal["none", "loading", "ready", "failed"]
    decoded: list[DecodedState]


class Uploaded(Part):
    """Where an uploaded match is now."""

    match_id: str


class Failure(Part):
    """Why a request did not work: one line for people, a code for programs."""

    code: ErrorCode
    message: str


class ProtocolError(ValueError):
    """Something to be told to the client, with a code that a program can act on."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code

    def to_message(self) -> Error:
        return Error(code=self.code, message=str(self))


def parse_client_message(text: str) -> ClientMessage:
    """Read one message of a client.

    Raises:
        ProtocolError: too large, not JSON, another protocol version, or not a message that the protocol knows.
    """
    size = len(text.encode())
    if size > MAX_MESSAGE_BYTES:
        raise ProtocolError("too_large", f"a message is at most {MAX_MESSAGE_BYTES} bytes, got {size}")
    try:
        raw = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise ProtocolError("malformed", f"not JSON: {error}") from None
    if not isinstance(raw, dict) or "v" not in raw:
        raise ProtocolError("malformed", f'a message is a JSON object with "v": {PROTOCOL_VERSION} and a "type"')
    if raw["v"] != PROTOCOL_VERSION or isinstance(raw["v"], bool):
        found = str(raw["v"])[:20]
        raise ProtocolError("wrong_version", f"this server speaks protocol version {PROTOCOL_VERSION}, got {found}")
    try:
        return _CLIENT.validate_json(text)
    except ValidationError as error:
        raise ProtocolError("malformed", first_line(error)) from None


def first_line(error: ValidationError) -> str:
    """The first thing that is wrong with a message, on one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].replace("\n", " ")
    return f"{where}: {what}" if where else what
