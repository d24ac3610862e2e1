"""What goes over the socket: typed, versioned JSON messages, one class each. ``docs/protocol.md`` describes them.

Positions are board pixels; a board state is seven numbers ``[p1x, p1y, p2x, p2y, block x, block y, angle]``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import from_json

from pushjepa.relay import Side

PROTOCOL_VERSION = 1
MAX_MESSAGE_BYTES = 16_384  #: a longer message from a client is refused
MAX_SEED = 2**53 - 1  #: seeds stay whole numbers in JavaScript

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
State = Annotated[list[float], Field(min_length=7, max_length=7)]
Phase = Literal["human", "opponent", "over"]
ErrorCode = Literal[
    "malformed", "wrong_version", "too_large", "invalid", "out_of_turn", "unknown_match", "unavailable",
    "opponent_failed", "internal",
]  # fmt: skip


class Part(BaseModel):
    """The base of everything on the wire: frozen, strict, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Message(Part):
    """A whole message; each has its ``type`` beside the version."""

    v: Literal[1] = 1


# From the client ------------------------------------------------------------------------------------------------------


class Hello(Message):
    """Ask who is there; answered with ``welcome``."""

    type: Literal["hello"] = "hello"


class NewMatch(Message):
    """Start a match; answered with ``match_state``. What is left out is chosen by the server."""

    type: Literal["new_match"] = "new_match"
    stage: Name = "open"
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    side: Side = "p1"
    first: Side | None = None
    opponent: Name | None = None
    physics: dict[Name, float | str] = Field(default_factory=dict, max_length=16)


class Resume(Message):
    """Come back to a match, also after the server was restarted; answered with ``match_state``."""

    type: Literal["resume"] = "resume"
    match_id: Name


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


ClientMessage = Hello | NewMatch | Resume | HumanTurn
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
    """An opponent that can be chosen."""

    name: str
    title: str
    summary: str
    available: bool


class Welcome(Message):
    """Who answers, and what can be chosen."""

    type: Literal["welcome"] = "welcome"
    version: str
    model: ModelView
    stages: list[StageView]
    opponents: list[OpponentView]
    turns: int
    max_waypoints: int


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
    """All that is needed to draw the board; ``block_parts`` are polygons about the block's centre at angle zero."""

    size: float
    wall_inset: float
    agent_radius: float
    goal_radius: float
    goals: dict[Side, Pair]
    obstacles: list[PillarView | WallView]
    block_parts: list[list[Pair]]


class TraceView(Part):
    """One iteration of a search: for each candidate its cost, where the agent ends, and the block after each turn."""

    costs: list[float]
    agents: list[Pair]
    blocks: list[list[Pair]]


class PlanView(Part):
    """What the opponent had in mind: cost by iteration, the state it expects, its candidates, time in milliseconds."""

    cost: float
    cost_by_iteration: list[float]
    predicted: State
    trace: list[TraceView]
    ms: float


class Standing(Part):
    """How the board stands: the block's distance to each goal and how much nearer it came since the start, px."""

    distances: dict[Side, float]
    progress: dict[Side, float]


class TurnView(Part):
    """One turn that was played: its action block, the states after each of its five steps, how it left the board."""

    turn: int
    side: Side
    block: list[Pair]
    states: list[State]
    standing: Standing
    plan: PlanView | None = None


class ResultView(Part):
    """How a match ended; no winner is a draw."""

    winner: Side | None
    standing: Standing


class MatchState(Message):
    """Everything needed to draw a match and go on with it."""

    type: Literal["match_state"] = "match_state"
    match_id: str
    stage: str
    seed: int
    first: Side
    human: Side
    opponent: str
    physics: dict[str, float | str]
    scene: SceneView
    turns: int
    turn: int
    phase: Phase
    start: State
    state: State
    standing: Standing
    history: list[TurnView]
    result: ResultView | None


class Thinking(Message):
    """The opponent has begun to think."""

    type: Literal["thinking"] = "thinking"
    match_id: str
    turn: int
    side: Side


class PlanMade(Message):
    """What the opponent is about to do and why; comes just before its ``turn_result``, if it plans at all."""

    type: Literal["plan"] = "plan"
    match_id: str
    turn: int
    side: Side
    plan: PlanView


class TurnResult(Message):
    """A turn was played and is stored."""

    type: Literal["turn_result"] = "turn_result"
    match_id: str
    turn: int
    side: Side
    block: list[Pair]
    states: list[State]
    standing: Standing
    phase: Phase
    next: Side | None


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


ServerMessage = Welcome | MatchState | Thinking | PlanMade | TurnResult | MatchOver | Error
SERVER_MESSAGES: TypeAdapter[ServerMessage] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")])


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
        raise ProtocolError("malformed", _first_line(error)) from None


def _first_line(error: ValidationError) -> str:
    """The first thing that is wrong with a message, on one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    what = first["msg"].replace("\n", " ")
    return f"{where}: {what}" if where else what
