"""From the game's own records to what goes over the socket."""

from __future__ import annotations

from pushjepa.physics import Pillar, block_parts
from pushjepa.physics import constants as c
from pushjepa.physics.geometry import Array
from pushjepa.relay import MATCH_TURNS, SIDES, MatchResult, get_stage, judge
from pushjepa.relay.scene import GOAL_RADIUS
from pushjepa.server.messages import (
    MatchOver,
    MatchState,
    PillarView,
    PlanMade,
    ResultView,
    SceneView,
    Standing,
    TurnResult,
    TurnView,
    WallView,
)
from pushjepa.server.session import Session, Turn


def standing(result: MatchResult) -> Standing:
    """Distances and progress of both sides, px."""
    return Standing(distances=dict(result.distances), progress=dict(result.progress))


def scene_view(session: Session) -> SceneView:
    """What stands on the board of ``session``."""
    stage, physics = get_stage(session.setup.stage), session.match.physics
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
        block_parts=[_rows(part) for part in block_parts(physics.block_shape, physics.block_scale)],
    )


def match_state(session: Session) -> MatchState:
    """The whole of ``session``, enough to draw it and go on."""
    match = session.match
    return MatchState(
        match_id=session.match_id,
        stage=session.setup.stage,
        seed=session.setup.seed,
        first=session.setup.first,
        human=session.human,
        opponent=session.opponent,
        physics=match.physics.to_dict(),
        scene=scene_view(session),
        turns=MATCH_TURNS,
        turn=match.turn,
        phase=session.phase,
        start=match.states[0].tolist(),
        state=match.state.tolist(),
        standing=standing(judge(match.states[0], match.state, match.stage)),
        history=[turn_view(turn) for turn in session.turns],
        result=_result(session),
    )


def turn_view(turn: Turn) -> TurnView:
    """A turn of a match's history."""
    return TurnView(
        turn=turn.index,
        side=turn.side,
        block=_rows(turn.block),
        states=_rows(turn.states),
        standing=standing(turn.standing),
        plan=turn.plan,
    )


def turn_messages(session: Session, turn: Turn) -> list[PlanMade | TurnResult | MatchOver]:
    """What is told about the newest turn: the plan behind it if there was one, its result, and the match's end."""
    told: list[PlanMade | TurnResult | MatchOver] = []
    if turn.plan is not None:
        told.append(PlanMade(match_id=session.match_id, turn=turn.index, side=turn.side, plan=turn.plan))
    told.append(
        TurnResult(
            match_id=session.match_id,
            turn=turn.index,
            side=turn.side,
            block=_rows(turn.block),
            states=_rows(turn.states),
            standing=standing(turn.standing),
            phase=session.phase,
            next=session.next_side,
        )
    )
    if session.phase == "over":
        result = session.match.result()
        told.append(MatchOver(match_id=session.match_id, winner=result.winner, standing=standing(result)))
    return told


def _result(session: Session) -> ResultView | None:
    if session.phase != "over":
        return None
    result = session.match.result()
    return ResultView(winner=result.winner, standing=standing(result))


def _rows(values: Array) -> list[list[float]]:
    rows: list[list[float]] = values.tolist()
    return rows
