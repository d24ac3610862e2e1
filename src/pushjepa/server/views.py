"""From the game's own records to what goes over the socket."""

from __future__ import annotations

from collections.abc import Sequence

from pushjepa.physics import BLOCK_SHAPES, Physics, Pillar, block_parts
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.physics.parameters import LIMITS
from pushjepa.relay import MATCH_TURNS, SIDES, MatchResult, PhysicsChange, Side, get_stage, judge, side_to_move
from pushjepa.relay.scene import GOAL_RADIUS
from pushjepa.server.messages import (
    ChangeView,
    LawsNow,
    LawsView,
    LawView,
    MatchOver,
    MatchState,
    MatchSummary,
    Odds,
    PhysicsChanged,
    PillarView,
    PlanMade,
    Played,
    ResultView,
    SceneView,
    ShapeView,
    Standing,
    TraceView,
    TurnResult,
    TurnView,
    WallView,
)
from pushjepa.server.odds import OddsModel
from pushjepa.server.session import Seats, Session, Turn
from pushjepa.server.store import Summary
from pushjepa.server.telemetry import turn_telemetry


def standing(result: MatchResult) -> Standing:
    """Distances and progress of both sides, px."""
    return Standing(distances=dict(result.distances), progress=dict(result.progress))


def scene_view(session: Session) -> SceneView:
    """What stands on the board of ``session``."""
    stage, physics = get_stage(session.setup.stage), session.setup.physics
    obstacles: list[PillarView | WallView] = [
        PillarView(x=o.x, y=o.y, radius=o.radius)
        if isinstance(o, Pillar)
        else WallView(left=o.left, top=o.top, right=o.right, bottom=o.bottom)
        for o in stage.obstacles
    ]
    return SceneView(
        size=c.BOARD_SIZE,
        wall_inset=c.WALL_INSET,
        agent_radius=c.AGENT_RADIUS,
        goal_radius=GOAL_RADIUS,
        goals={side: list(stage.goals[side]) for side in SIDES},
        obstacles=obstacles,
        block_parts=_block(physics),
    )


def laws_view() -> LawsView:
    """What can be changed about the physics, and how far."""
    usual = Physics()
    return LawsView(
        numbers=[
            LawView(name=name, low=low, high=high, standard=getattr(usual, name))
            for name, (low, high) in LIMITS.items()
        ],
        shape=usual.block_shape,
        shapes=[ShapeView(name=name, parts=[_rows(part) for part in block_parts(name)]) for name in BLOCK_SHAPES],
    )


def laws_now(session: Session) -> LawsNow:
    """The laws of the coming turn of ``session``, and the first change after it."""
    match = session.match
    later = (change for change in match.setup.changes if change.turn > match.turn)
    coming = next(later, None)
    return LawsNow(now=match.physics.to_dict(), coming=None if coming is None else _change(coming))


def physics_changed(session: Session, turn: int) -> PhysicsChanged:
    """What is told when the laws of ``session`` were changed from ``turn`` on."""
    return PhysicsChanged(match_id=session.match_id, turn=turn, changes=_changes(session), laws=laws_now(session))


def match_state(session: Session, odds: OddsModel | None) -> MatchState:
    """The whole of ``session``, enough to draw it and go on."""
    match = session.match
    return MatchState(
        match_id=session.match_id,
        stage=session.setup.stage,
        seed=session.setup.seed,
        first=session.setup.first,
        players=players_view(session.seats),
        human=session.seats.human,
        opponent=session.seats.opponent,
        imported=session.imported,
        physics=session.setup.physics.to_dict(),
        changes=_changes(session),
        laws=laws_now(session),
        scene=scene_view(session),
        turns=MATCH_TURNS,
        turn=match.turn,
        phase=session.phase,
        start=match.states[0].tolist(),
        state=match.state.tolist(),
        standing=standing(judge(match.states[0], match.state, match.stage)),
        odds=_odds(session, match.turn, match.state, odds),
        history=[turn_view(session, turn, odds) for turn in session.turns],
        result=_result(session),
    )


def turn_view(session: Session, turn: Turn, odds: OddsModel | None) -> TurnView:
    """A turn of a match's history."""
    return TurnView(
        turn=turn.index,
        side=turn.side,
        player=session.seats.at(turn.side),
        block=_rows(turn.block),
        states=_rows(turn.states),
        standings=[standing(result) for result in turn.standings],
        standing=standing(turn.standings[-1]),
        telemetry=turn_telemetry(turn),
        odds=_odds(session, turn.index + 1, turn.states[-1], odds),
        physics=session.setup.physics_at(turn.index).to_dict(),
        plan=turn.plan,
    )


def turn_messages(
    session: Session, turn: Turn, trace: Sequence[TraceView], odds: OddsModel | None
) -> list[PlanMade | TurnResult | MatchOver]:
    """What is told about the newest turn: the plan behind it if there was one, its result, and the match's end."""
    told: list[PlanMade | TurnResult | MatchOver] = []
    if turn.plan is not None:
        told.append(
            PlanMade(match_id=session.match_id, turn=turn.index, side=turn.side, plan=turn.plan, trace=list(trace))
        )
    played = turn_view(session, turn, odds)
    fields = {name: getattr(played, name) for name in Played.model_fields}
    laws, phase = laws_now(session), session.phase
    told.append(TurnResult(match_id=session.match_id, laws=laws, phase=phase, next=session.next_side, **fields))
    if session.phase == "over":
        result = session.match.result()
        told.append(MatchOver(match_id=session.match_id, winner=result.winner, standing=standing(result)))
    return told


def players_view(seats: Seats) -> dict[Side, str]:
    """Who sits where: a policy's name, or ``human``."""
    return {side: seats.at(side) for side in SIDES}


def summary_view(summary: Summary) -> MatchSummary:
    """A line of the list of matches."""
    result = summary.result
    return MatchSummary(
        match_id=summary.match_id,
        created=summary.created,
        stage=summary.setup.stage,
        seed=summary.setup.seed,
        first=summary.setup.first,
        players=players_view(summary.seats),
        human=summary.seats.human,
        opponent=summary.seats.opponent,
        turns=summary.turns,
        result=None if result is None else result_view(result),
        imported=summary.imported,
    )


def result_view(result: MatchResult) -> ResultView:
    """How a match ended."""
    return ResultView(winner=result.winner, standing=standing(result))


def _changes(session: Session) -> list[ChangeView]:
    return [_change(change) for change in session.setup.changes]


def _change(change: PhysicsChange) -> ChangeView:
    return ChangeView(turn=change.turn, physics=change.physics.to_dict(), block_parts=_block(change.physics))


def _block(physics: Physics) -> list[list[list[float]]]:
    """The block under ``physics``: the corners of its parts, px, about its centre at angle zero."""
    return [_rows(part) for part in block_parts(physics.block_shape, physics.block_scale)]


def _odds(session: Session, turn: int, state: Array, odds: OddsModel | None) -> Odds | None:
    """The odds of a match after ``turn`` of its turns, in ``state`` (7,)."""
    if odds is None:
        return None
    return odds(session.match.states[0], state, turn, side_to_move(turn, session.setup.first), session.match.stage)


def _result(session: Session) -> ResultView | None:
    if session.phase != "over":
        return None
    return result_view(session.match.result())


def _rows(values: Array) -> list[list[float]]:
    rows: list[list[float]] = values.tolist()
    return rows
