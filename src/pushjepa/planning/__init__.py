"""Cross-entropy search, costs and the players that imagine before they move. NumPy only."""

from pushjepa.planning.advice import Advice, Prior, Value, find_advice
from pushjepa.planning.costs import (
    AgentBehindBlock,
    AgentToBlock,
    BlockToGoal,
    Cost,
    CostFactory,
    WeightedSum,
    goal_cost,
    margin_cost,
    near_cost,
    push_cost,
)
from pushjepa.planning.overlap import push_agents_out
from pushjepa.planning.plan import Plan, Trace
from pushjepa.planning.policies import PlanningPolicy, oracle
from pushjepa.planning.replies import Opponent, joint_candidates
from pushjepa.planning.search import Budget, Iteration, SearchResult, cross_entropy_search
from pushjepa.planning.seats import PLAYERS, check_player, make_planner, make_policy, needs_advice, needs_model
from pushjepa.planning.selfplay import gather
from pushjepa.planning.simulator import SimulatorModel

__all__ = [
    "PLAYERS",
    "Advice",
    "AgentBehindBlock",
    "AgentToBlock",
    "BlockToGoal",
    "Budget",
    "Cost",
    "CostFactory",
    "Iteration",
    "Opponent",
    "Plan",
    "PlanningPolicy",
    "Prior",
    "SearchResult",
    "SimulatorModel",
    "Trace",
    "Value",
    "WeightedSum",
    "check_player",
    "cross_entropy_search",
    "find_advice",
    "gather",
    "goal_cost",
    "joint_candidates",
    "make_planner",
    "make_policy",
    "margin_cost",
    "near_cost",
    "needs_advice",
    "needs_model",
    "oracle",
    "push_agents_out",
    "push_cost",
]
