"""Cross-entropy search, costs and the players that imagine before they move. NumPy only."""

from pushjepa.planning.costs import AgentToBlock, BlockToGoal, Cost, CostFactory, WeightedSum, margin_cost, push_cost
from pushjepa.planning.imagination import joint_candidates
from pushjepa.planning.overlap import push_agents_out
from pushjepa.planning.plan import Plan, Trace
from pushjepa.planning.policies import PlanningPolicy, oracle, replying
from pushjepa.planning.replies import Opponent
from pushjepa.planning.search import Budget, Iteration, SearchResult, cross_entropy_search
from pushjepa.planning.seats import PLAYERS, make_policy, needs_model
from pushjepa.planning.simulator import SimulatorModel

__all__ = [
    "PLAYERS",
    "AgentToBlock",
    "BlockToGoal",
    "Budget",
    "Cost",
    "CostFactory",
    "Iteration",
    "Opponent",
    "Plan",
    "PlanningPolicy",
    "SearchResult",
    "SimulatorModel",
    "Trace",
    "WeightedSum",
    "cross_entropy_search",
    "joint_candidates",
    "make_policy",
    "margin_cost",
    "needs_model",
    "oracle",
    "push_agents_out",
    "push_cost",
    "replying",
]
