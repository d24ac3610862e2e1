"""Cross-entropy search, costs and the players that imagine before they move. NumPy only."""

from pushjepa.planning.costs import AgentToBlock, BlockToGoal, Cost, CostFactory, WeightedSum, push_cost
from pushjepa.planning.overlap import push_agents_out
from pushjepa.planning.plan import Plan, Trace
from pushjepa.planning.policies import PlanningPolicy, joint_candidates, oracle
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
    "Plan",
    "PlanningPolicy",
    "SearchResult",
    "SimulatorModel",
    "Trace",
    "WeightedSum",
    "cross_entropy_search",
    "joint_candidates",
    "make_policy",
    "needs_model",
    "oracle",
    "push_agents_out",
    "push_cost",
]
