"""The two-player push game: rules, stages, scene drawing, the referee and what a seat sees."""

from pushjepa.relay.contract import (
    History,
    Observation,
    Point,
    Policy,
    Side,
    StateView,
    joint_block,
    last_history,
)
from pushjepa.relay.match import Match, MatchSetup, PhysicsChange
from pushjepa.relay.rules import (
    DRAW_MARGIN,
    MATCH_TURNS,
    SIDES,
    MatchResult,
    check_side,
    goal_distance,
    judge,
    other,
    side_to_move,
)
from pushjepa.relay.scene import Frame, Scene
from pushjepa.relay.stages import STAGES, Stage, get_stage

__all__ = [
    "DRAW_MARGIN",
    "MATCH_TURNS",
    "SIDES",
    "STAGES",
    "Frame",
    "History",
    "Match",
    "MatchResult",
    "MatchSetup",
    "Observation",
    "PhysicsChange",
    "Point",
    "Policy",
    "Scene",
    "Side",
    "Stage",
    "StateView",
    "check_side",
    "get_stage",
    "goal_distance",
    "joint_block",
    "judge",
    "last_history",
    "other",
    "side_to_move",
]
