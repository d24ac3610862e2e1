"""Push-T's closed-loop tasks: reach a state that lies some steps ahead on a held-out expert trajectory."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushjepa.planning import Budget
from pushjepa.pusht.adapters import BlockPlanner, Doubt, HistoryPolicy, Proposer
from pushjepa.pusht.importer import open_hdf5, read_collection, read_pixels, read_rows
from pushjepa.pusht.model import PushTModel
from pushjepa.pusht.oracle import PushTSimulatorModel
from pushjepa.pusht.peer import Peer
from pushjepa.pusht.shifted import ENV_ID
from pushjepa.pusht.simulator import Array, PushTPhysics
from pushjepa.pusht.stable import (
    BasePolicy,
    CEMSolver,
    PlanConfig,
    RandomPolicy,
    World,
    WorldModelPolicy,
)
from pushjepa.runtime.contract import WorldModel

#: Names that :func:`make_player` knows.
PLAYERS = ("random", "expert", "oracle", "model", "prior", "model+prior", "peer", "still")

#: What the environment is told before an episode, and from which column of the data.
#: First a fresh space: a reset draws a random scene, whose contacts and speeds would leak into the task.
_SETTINGS = [
    {"method": "_setup", "args": {}},
    {"method": "_set_state", "args": {"state": {"value": "state"}}},
    {"method": "_set_goal_state", "args": {"goal_state": {"value": "goal_state"}}},
]


@dataclass(frozen=True)
class Tasks:
    """Episodes to play: each begins at a row of a trajectory, and its goal lies ``goal_offset`` rows later.

    Attributes:
        episodes: (N,) which trajectory.
        starts: (N,) its row to begin at.
        goal_offset: env steps between start and goal on the trajectory.
        budget: env steps that a player has.
    """

    episodes: NDArray[np.int64]
    starts: NDArray[np.int64]
    goal_offset: int
    budget: int


@dataclass(frozen=True)
class Outcome:
    """What came of some tasks.

    Attributes:
        solved: (N,) whether the environment judged the goal reached at any step.
        replan_s: seconds of every plan, for one environment.
    """

    solved: NDArray[np.bool_]
    replan_s: tuple[float, ...]


class ExpertData:
    """A file of expert trajectories, which are what tasks are drawn from.

    Args:
        path: an HDF5 file with the columns that :func:`~pushjepa.pusht.importer.import_dataset` needs, and ``pixels``;
            ``steady`` is heeded where it is there.

    Attributes:
        collection: how the trajectories were collected; None where the file does not say.

    Raises:
        ValueError: no such file, or a column that is missing or of another shape.
    """

    column_names: tuple[str, ...] = ("pixels", "action", "state", "proprio")  #: what World takes of a data set
    physics: PushTPhysics | None = None  #: the environment's own laws

    def __init__(self, path: Path) -> None:
        with open_hdf5(path) as file:
            self.states, self.actions, self.lengths = read_rows(file, path)
            self.frame_size = int(read_pixels(file, path, len(self.states)).shape[1])
            steady = file["steady"][:].astype(bool) if "steady" in file else np.ones(len(self.states), dtype=bool)
            self.collection = read_collection(file)
        self.offsets: NDArray[np.int64] = np.cumsum(self.lengths) - self.lengths
        self.steady: NDArray[np.bool_] = steady[self.offsets]
        self.path = path

    def refuse_seen(self, learned: Mapping[str, Any], who: str) -> None:
        """Refuse to measure on trajectories that were learned from.

        Trajectory n is a function of (seed, n), and the limit only cuts it short, so that collections of one seed share
        trajectories. Of imported data only the name of the file is known, which is enough to refuse it.

        Args:
            learned: the entry ``data`` of a checkpoint's config.
            who: what learned from them, in words.

        Raises:
            ValueError: these are such trajectories.
        """
        if isinstance(learned.get("start"), Mapping):  # the weights that its training started from learned too
            self.refuse_seen(learned["start"], who)
        source, made = learned.get("source"), self.collection
        if source is not None and source in (self.path.name, made and made.source):
            raise ValueError(
                f"{self.path} may hold what {who} learned from, which was imported from {source}; measure on other data"
            )
        if source is None and made is not None and made.source is None and made.seed == learned.get("seed"):
            raise ValueError(
                f"{self.path} holds trajectories that {who} learned from: both were collected with seed {made.seed}; "
                "collect others with another --seed"
            )

    def load_chunk(
        self, episodes_idx: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> list[dict[str, Tensor]]:
        """Rows ``start`` up to, not including, ``end`` of some trajectories, as World asks a data set for them."""
        chunk, first = [], self.offsets[episodes_idx]
        with open_hdf5(self.path) as file:
            for low, high in zip((first + start).tolist(), (first + end).tolist(), strict=True):
                states = torch.from_numpy(self.states[low:high])
                chunk.append(
                    {
                        "pixels": torch.from_numpy(file["pixels"][low:high]).permute(0, 3, 1, 2),
                        "action": torch.from_numpy(self.actions[low:high]),
                        "state": states,
                        "proprio": states[:, [0, 1, 5, 6]],
                    }
                )
        return chunk

    def trajectory(self, episode: int) -> tuple[Array, NDArray[np.float32]]:
        """States (T, 7) of one trajectory and the actions (T - 1, 2) between them."""
        rows = slice(self.offsets[episode], self.offsets[episode] + self.lengths[episode])
        return self.states[rows], self.actions[rows][:-1]

    def draw_tasks(self, count: int, goal_offset: int, budget: int, seed: int) -> Tasks:
        """``count`` tasks from different trajectories played with a steady hand.

        Raises:
            ValueError: fewer trajectories than tasks that are long enough.
        """
        long_enough = np.flatnonzero(self.steady & (self.lengths > goal_offset))
        if len(long_enough) < count:
            raise ValueError(
                f"{count} tasks {goal_offset} steps apart need as many trajectories of that length; "
                f"{self.path} has {len(long_enough)}"
            )
        rng = np.random.default_rng(seed)
        episodes = rng.choice(long_enough, count, replace=False)
        return Tasks(episodes, rng.integers(0, self.lengths[episodes] - goal_offset), goal_offset, budget)


class ReplayPolicy(BasePolicy):
    """Plays what the expert played from each task's start on, and then nothing.

    Args:
        data: where the actions stand.
        tasks: what is played.
    """

    def __init__(self, data: ExpertData, tasks: Tasks) -> None:
        super().__init__()
        self.type = "replay"
        rows = (data.offsets[tasks.episodes] + tasks.starts)[:, None] + np.arange(tasks.goal_offset)
        self.actions = data.actions[rows].astype(np.float64)  # (N, goal_offset, 2)
        self.step = 0

    def get_action(self, obs: Any, **kwargs: Any) -> Array:
        """Actions (N, 2) of this step."""
        now, self.step = self.step, self.step + 1
        return self.actions[:, now] if now < self.actions.shape[1] else np.zeros_like(self.actions[:, 0])


class StillPolicy(BasePolicy):
    """Never moves: what it solves is solved by the start, or by a block that lies where it cannot stay."""

    def get_action(self, obs: Any, **kwargs: Any) -> Array:
        """Actions (N, 2) of zeros."""
        return np.zeros((len(obs["state"]), 2))


class TimedSolver:
    """A solver of stable-worldmodel that notes how long each plan of one environment took."""

    def __init__(self, solver: Any) -> None:
        self.solver = solver
        self.seconds: list[float] = []

    def configure(self, **settings: Any) -> None:
        self.solver.configure(**settings)

    @property
    def action_dim(self) -> int:
        return int(self.solver.action_dim)

    @property
    def n_envs(self) -> int:
        return int(self.solver.n_envs)

    @property
    def horizon(self) -> int:
        return int(self.solver.horizon)

    def __call__(self, info_dict: dict[str, Any], init_action: Any = None) -> dict[str, Any]:
        return self.solve(info_dict, init_action)

    def solve(self, info_dict: dict[str, Any], init_action: Any = None) -> dict[str, Any]:
        """Plan, and note the time."""
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):  # its solvers print their time
            found: dict[str, Any] = self.solver.solve(info_dict, init_action)
        count = len(info_dict["pixels"])
        self.seconds += [(time.perf_counter() - started) / count] * count
        return found


class TaskData(Protocol):
    """What a World takes starts and goals from.

    Attributes:
        column_names: of what it loads.
        frame_size: px.
        physics: the laws that starts and goals belong to; the environment's own if None.
    """

    column_names: tuple[str, ...]
    frame_size: int
    physics: PushTPhysics | None

    def load_chunk(
        self, episodes_idx: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
    ) -> list[dict[str, Tensor]]: ...


def play(data: TaskData, tasks: Tasks, policy: BasePolicy, video: Path | None = None) -> Outcome:
    """Have ``policy`` play the tasks, all environments side by side.

    Args:
        data: the expert's trajectories, which are played in ``swm/PushT-v1``, or a
            :class:`~pushjepa.pusht.replayed.ReplayedData`, which is played in ``pushjepa/PushT-v1`` under its laws.
        tasks: what to play.
        policy: of stable-worldmodel.
        video: folder for one film a task, if wanted.
    """
    size, laws = data.frame_size, {} if data.physics is None else {"physics": data.physics}
    world = World(
        ENV_ID if laws else "swm/PushT-v1",
        num_envs=len(tasks.episodes),
        image_shape=(size, size),
        max_episode_steps=10 * tasks.budget,
        resolution=size,
        disable_env_checker=True,  # it complains of the environment's own habits
        **laws,
    )
    world.set_policy(policy)
    with warnings.catch_warnings():
        # Gymnasium warns of the environment's own spaces.
        warnings.filterwarnings("ignore", ".*Casting input x", UserWarning)
        found = world.evaluate(
            dataset=data,
            episodes_idx=tasks.episodes.tolist(),
            start_steps=tasks.starts.tolist(),
            goal_offset=tasks.goal_offset,
            eval_budget=tasks.budget,
            callables=_SETTINGS,
            video=video,
        )
    world.close()
    seconds = policy.solver.seconds if isinstance(getattr(policy, "solver", None), TimedSolver) else []
    return Outcome(np.asarray(found["episode_successes"], dtype=bool), tuple(seconds))


@dataclass(frozen=True)
class Search:
    """How a planning player searches.

    Attributes:
        budget: of a plan.
        horizon: action blocks of a plan.
        receding: blocks of a plan that are played before the next one.
        share: of the first iteration's candidates that an action prior proposes.
        smallest: the spread of a search falls no further. At 0.05, as in the game, chance moves the end of a plan's 25
            steps by 9 px.
        doubt: of the state that a plan of our own models begins in; None to take it as it is read.
    """

    budget: Budget = field(default_factory=lambda: Budget(candidates=300, iterations=10, elite_fraction=0.1))
    horizon: int = 5
    receding: int = 5
    share: float = 0.5
    smallest: float = 0.01
    doubt: Doubt | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share must lie in (0, 1], got {self.share:g}")


def make_player(
    name: str,
    data: ExpertData,
    tasks: Tasks,
    search: Search,
    seed: int,
    model: PushTModel | None = None,
    peer: Peer | None = None,
    physics: PushTPhysics | None = None,
) -> BasePolicy:
    """The player called ``name``, one of ``PLAYERS``, for some tasks.

    ``model`` is what ``model``, ``prior`` and ``model+prior`` play with: by search alone, by its action prior alone,
    and by a search that begins with the prior's plans. ``peer`` is what the player of that name plays with. ``physics``
    are the laws of the true simulator that ``oracle`` plans on; nobody else is told of them. What a block's own
    velocity will do is no part of the state that it plans from, so that gliding surprises even the oracle.

    Raises:
        ValueError: no such player, or no model where one is needed.
    """
    if name == "still":
        return StillPolicy()
    if name == "random":
        return RandomPolicy(seed)
    if name == "expert":
        return ReplayPolicy(data, tasks)
    if name == "oracle":
        return planning_policy(PushTSimulatorModel(physics), replace(search, doubt=None), seed)
    if name == "peer":
        if peer is None:
            raise ValueError("the player 'peer' needs a peer")
        return peer_policy(peer, search, seed)
    if name in ("model", "prior", "model+prior"):
        if model is None:
            raise ValueError(f"the player {name!r} needs a world model")
        return planning_policy(model, search, seed, None if name == "model" else model, alone=name == "prior")
    raise ValueError(f"unknown player {name!r}; choose one of {', '.join(PLAYERS)}")


def planning_policy(
    model: WorldModel,
    search: Search,
    seed: int,
    prior: Proposer | None = None,
    *,
    alone: bool = False,
) -> HistoryPolicy:
    """Our planner on a world model, as a policy of stable-worldmodel.

    Args:
        model: what imagines.
        search: how it searches.
        seed: of the draws.
        prior: proposes plans to begin with.
        alone: play the prior's likeliest plan instead of searching.
    """
    budget = None if alone else search.budget
    doubt = None if alone else search.doubt
    planner = BlockPlanner(model, budget, seed, prior=prior, share=search.share, smallest=search.smallest, doubt=doubt)
    solver = TimedSolver(planner)
    config = PlanConfig(search.horizon, search.receding, action_block=model.spec.frameskip, warm_start=False)
    return HistoryPolicy(solver, config, model.spec.history)


def peer_policy(peer: Peer, search: Search, seed: int) -> WorldModelPolicy:
    """stable-worldmodel's solver and policy on its own world model, with our search's budget and nothing else of ours.

    The solver draws normalised actions, the policy brings them back; neither keeps them within [-1, 1], and nor does
    the environment. The cost is the squared distance between embeddings at the plan's end. LeWM is told the present
    frame alone: its policy keeps no past.

    Args:
        peer: what imagines.
        search: how much the solver looks at: candidates, iterations, elites; and the plan's length.
        seed: of the draws.
    """
    budget = search.budget
    elites = max(2, budget.elites)  # it takes their spread
    solver = CEMSolver(peer.net, num_samples=budget.candidates, n_steps=budget.iterations, topk=elites, seed=seed)
    config = PlanConfig(search.horizon, search.receding, action_block=peer.config.frameskip)
    process, transform = {"action": peer.actions}, {"pixels": _channels_first, "goal": _channels_first}
    return WorldModelPolicy(TimedSolver(solver), config, process=process, transform=transform)


def _channels_first(frame: Tensor) -> Tensor:
    """The frame (3, H, W) of 0 ... 255 itself: a policy turns to channels first what has a transform."""
    return frame
