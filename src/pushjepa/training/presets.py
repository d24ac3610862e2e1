"""Training presets: one TOML file each, read into frozen records that refuse unknown names."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pushjepa.nets import ModelConfig
from pushjepa.nets.mech_config import MechConfig
from pushjepa.nets.peer_config import PeerConfig
from pushjepa.physics.parameters import LAWS as GAME_LAWS
from pushjepa.physics.parameters import VISIBLE as GAME_VISIBLE
from pushjepa.pusht.simulator import LAWS, VISIBLE

PHASES = ("scenes", "joint", "glimpses", "substeps", "turns", "latents", "prior", "laws", "looks")
TASKS: dict[str, type[ModelConfig] | type[MechConfig] | type[PeerConfig]] = {
    "relay": ModelConfig,
    "pusht": MechConfig,
    "peer": PeerConfig,
}
BRANCHING = (
    "scenes",
    "turns",
    "joint",
    "latents",
    "laws",
    "looks",
)  #: phases in which states or windows of branches serve
_UNROLLING = ("substeps", "turns", "latents")  # phases that train the unroll, beside joint
T = TypeVar("T")
_KINDS: dict[str, type | tuple[type, ...]] = {  # by the annotations of the records that presets are read into
    "int": int,
    "float": (int, float),
    "float | None": (int, float),
    "bool": bool,
    "str": str,
}


@dataclass(frozen=True)
class LossWeights:
    """Weights beside the prediction loss, whose own weight is 1: SIGReg, states in all their forms, the stage.

    ``directions`` is how many random ones SIGReg looks along in a step; they are drawn anew in each.
    """

    sigreg: float = 0.09
    state: float = 10.0
    stage: float = 0.1
    directions: int = 1024

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise ValueError(f"directions must be at least 1, got {self.directions}")


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of the recipe.

    Attributes:
        kind: ``scenes`` (encoder and heads on random scenes), ``joint`` (everything, from pixels), ``substeps`` (the
            game's step unroll, one substep at a time, on stored turns that are played again), ``turns`` (the step
            unroll on whole stored turns), ``latents`` (all but the encoder, on cached latents), ``prior`` (Push-T's
            action prior, on stored states), ``laws`` (what other laws of physics change in the unroll, on turns that
            are played under laws drawn at random; all else rests), ``looks`` (the second look, which begins as a copy
            of the first, on scenes with blocks of other sizes and shapes; all else rests) or ``glimpses`` (the closer
            look at each body, on scenes; all else rests).
        steps: optimiser steps.
        batch: frames a step in ``scenes``, ``glimpses`` and ``looks``, turns a step in ``turns``, substeps in
            ``substeps`` and in the game's ``laws``, windows a step elsewhere.
        learning_rate: AdamW's at its peak; it warms up linearly and falls to 1% along a cosine.
        matrix_rate: Muon's, at the same schedule, for the hidden matrices of unroll, law adapter, predictor, ViT and
            of the game's projector, state head and glimpses; 0 leaves them to AdamW.
        warmup_steps: steps of the linear rise.
        weight_decay: AdamW's.
        clip: largest gradient norm.
        sigreg: SIGReg's weight in this phase; None for the preset's.
        frozen_norm: whether BatchNorm uses, and keeps, the statistics it has.
        frozen_encoder: the game's ``scenes`` only: encoder and projector rest, and the heads learn to read them.
        blur: ``turns``, ``prior``, ``laws`` and ``glimpses`` only: largest standard deviation, px, of a state as frames
            show it (``glimpses``: as a glance at them does).
        flip: the game's ``turns``: show each turn upside down with even chance; Push-T's ``turns``, ``prior`` and
            ``laws``: turn the board at random, and mirror it too where the tee is a tee.
        rollout: the game's ``joint`` and ``latents``: turns that are predicted one after another from the model's own
            predictions, each with its losses; 1 predicts from what was seen alone.
        frozen_unroll: ``latents`` only: the unroll rests too; the rest learns to read it.
        moved: share of each batch drawn from windows whose first foreseen turn moves the block (it is the only one
            unless ``rollout`` asks for more); the rest is drawn from all.
        blocked: share drawn from windows in whose first foreseen turn an agent is stopped short and the block stays.
        jostled: share drawn from windows in whose first foreseen turn the waiting agent is pushed.
        eventful: ``substeps`` and the game's ``laws``: share drawn from substeps that the motors alone do not explain.
        masked: Push-T's ``joint`` and ``latents`` only: share of the slots that are hidden.
        action_free: Push-T's ``joint`` and ``latents`` only: learn to predict without actions, as pretraining does.
        memory_rate: AdamW's for the memory of mechanisms; 0 for ``learning_rate``.
        reach: ``prior`` only: how many env steps ahead a goal may lie.
        played: ``scenes``, ``glimpses`` and Push-T's ``looks`` only: share of the scenes that are states of episodes or
            trajectories (in ``looks``: of branches) instead of random ones.
        branches: all phases of Push-T but ``prior``: how many branches of the trajectories, where the
            hand strays, are played in the simulator and learned from beside them.
        episodes: use at most this many episodes in all, 0 for all there are; encoding them takes its time in
            ``latents``. Of several stores each gives its share.
            In the game's ``laws``: how many are played, each under laws of its own.
        validate_every: steps between validations and checkpoints.
        validation: frames (``scenes``, ``glimpses``, ``looks``) or windows in a validation.
    """

    kind: str
    steps: int
    batch: int
    learning_rate: float
    matrix_rate: float = 0.0
    warmup_steps: int = 200
    weight_decay: float = 1e-3
    clip: float = 1.0
    sigreg: float | None = None
    frozen_norm: bool = False
    frozen_encoder: bool = False
    blur: float = 1.5
    flip: bool = False
    rollout: int = 1
    frozen_unroll: bool = False
    moved: float = 0.0
    blocked: float = 0.0
    jostled: float = 0.0
    eventful: float = 0.0
    masked: float = 0.0
    action_free: bool = False
    memory_rate: float = 0.0
    reach: int = 75
    played: float = 0.0
    branches: int = 0
    episodes: int = 0
    validate_every: int = 250
    validation: int = 1024

    def __post_init__(self) -> None:
        if self.kind not in PHASES:
            raise ValueError(f"unknown phase {self.kind!r}; choose one of {', '.join(PHASES)}")
        for name in ("steps", "batch", "learning_rate", "validate_every", "validation", "reach", "rollout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"phase {self.kind}: {name} must be positive, got {getattr(self, name)}")
        for name in (
            "matrix_rate",
            "memory_rate",
            "sigreg",
            "blur",
            "moved",
            "blocked",
            "jostled",
            "eventful",
            "masked",
            "played",
            "branches",
            "episodes",
        ):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"phase {self.kind}: {name} must not be negative, got {value}")
        self._check_shares()
        self._check_kind()

    def _check_shares(self) -> None:
        drawn = self.moved + self.blocked + self.jostled
        for words, share in (
            ("moved, blocked and jostled are shares", drawn),
            ("played is a share", self.played),
            ("eventful is a share", self.eventful),
        ):
            if share > 1:
                raise ValueError(f"phase {self.kind}: {words}, {share:g} is too much")

    def _check_kind(self) -> None:
        """Refuse what a phase of this kind would not heed."""
        rests = self.frozen_encoder or self.kind in ("glimpses", "substeps", "turns", "latents", "prior", "laws")
        if rests and (self.sigreg is not None or self.frozen_norm):
            raise ValueError(f"phase {self.kind}: the encoder rests, so sigreg and frozen_norm mean nothing")
        if self.kind == "looks" and self.sigreg is not None:
            raise ValueError("phase looks: it learns the first encoder's latents, so sigreg means nothing")
        for name in ("memory_rate", "moved", "blocked", "jostled", "masked", "action_free"):
            if self.kind in ("looks", "glimpses", "substeps") and getattr(self, name):
                raise ValueError(f"phase {self.kind}: {name} means nothing to it")
        if self.kind == "looks" and bool(self.played) != bool(self.branches):
            raise ValueError("phase looks: played is a share of states of branches; give both or neither")
        for name, kinds in (
            ("flip", ("turns", "prior", "laws")),
            ("frozen_encoder", ("scenes",)),
            ("frozen_unroll", ("latents",)),
            ("eventful", ("substeps", "laws")),
            ("branches", BRANCHING),
            ("played", ("scenes", "glimpses", "looks")),
        ):
            if getattr(self, name) and self.kind not in kinds:
                raise ValueError(f"phase {self.kind}: {name} is for {' and '.join(kinds)} only")
        if self.rollout > 1 and self.kind not in ("joint", "latents"):
            raise ValueError(f"phase {self.kind}: rollout is for joint and latents only")


@dataclass(frozen=True)
class Preset:
    """A whole recipe: architecture, loss weights, phases and seed. The architecture says which task it is for.

    ``changes`` tells which entries are not as the file of that name has them.
    """

    name: str
    seed: int
    model: ModelConfig | MechConfig | PeerConfig
    loss: LossWeights
    phases: tuple[PhaseConfig, ...]
    changes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.model, PeerConfig):
            self._check_peer()
            return
        if not self.model.unroll_hidden and any(phase.kind in ("substeps", "turns") for phase in self.phases):
            raise ValueError(f"preset {self.name}: substeps and turns train the step unroll, and unroll_hidden is 0")
        if not self.model.unroll_hidden and any(phase.frozen_unroll for phase in self.phases):
            raise ValueError(f"preset {self.name}: frozen_unroll freezes nothing, for unroll_hidden is 0")
        if any(p.kind == "glimpses" for p in self.phases) and not getattr(self.model, "glimpse_hidden", 0):
            raise ValueError(f"preset {self.name}: the phase glimpses is for a game's model with glimpse_hidden")
        self._check_laws()
        priors = any(phase.kind == "prior" for phase in self.phases)
        if isinstance(self.model, MechConfig) and not self.model.prior_hidden and priors:
            raise ValueError(f"preset {self.name}: the phase prior trains the action prior, and prior_hidden is 0")
        if self.task == "pusht" and any(p.blocked or p.jostled or p.eventful for p in self.phases):
            raise ValueError(f"preset {self.name}: blocked, jostled and eventful are for the game only")
        if self.task == "pusht" and any(p.kind == "substeps" for p in self.phases):
            raise ValueError(f"preset {self.name}: the phase substeps is for the game only")
        if self.task == "pusht" and any(p.rollout > 1 or p.frozen_encoder for p in self.phases):
            raise ValueError(f"preset {self.name}: rollout and frozen_encoder are for the game only")
        only = any(p.masked or p.action_free or p.memory_rate or p.branches for p in self.phases)
        if self.task == "relay" and (priors or only):
            raise ValueError(
                f"preset {self.name}: masked, action_free, memory_rate, branches and the phase prior are for Push-T"
            )

    def _check_laws(self) -> None:
        """Refuse laws of physics that the unroll could not be told of."""
        assert not isinstance(self.model, PeerConfig)
        told, laws = (LAWS if self.task == "pusht" else GAME_LAWS), self.model.laws
        visible = VISIBLE if self.task == "pusht" else GAME_VISIBLE
        if self.model.visible not in ((), visible):
            raise ValueError(
                f"preset {self.name}: a frame of {self.task} shows the numbers {list(visible)} of its laws"
            )
        if not self.model.visible and any(phase.kind == "looks" for phase in self.phases):
            raise ValueError(f"preset {self.name}: the phase looks is for a model with visible = {list(visible)}")
        if laws not in (0, told):
            raise ValueError(f"preset {self.name}: the laws of {self.task} are told in {told} numbers, not in {laws}")
        if self.model.visible:
            self._check_looks()
        needs = "branches" if self.task == "pusht" else "episodes"
        for phase in self.phases:
            if phase.kind == "laws" and not laws:
                raise ValueError(f"preset {self.name}: the phase laws is for an unroll with laws = {told}")
            if phase.kind == "laws" and not getattr(phase, needs):
                raise ValueError(f"preset {self.name}: the phase laws needs {needs} to be played under other laws")

    def _check_looks(self) -> None:
        """Refuse a second look that would be left untrained, or behind the encoder that it is a copy of."""
        kinds = [phase.kind for phase in self.phases]
        later = kinds[kinds.index("looks") :] if "looks" in kinds else kinds
        refined = self.task == "relay" and "looks" not in kinds  # a start that has a second look already may go on
        if {"scenes", "joint"} & set(later) or not (refined or "looks" in kinds):
            raise ValueError(
                f"preset {self.name}: visible needs a phase looks, after all that train the encoder (scenes, joint)"
            )

    def needs_start(self) -> bool:
        """Whether a part that a phase or a player looks through would be left as it was drawn at random."""
        kinds = ["frozen scenes" if phase.frozen_encoder else phase.kind for phase in self.phases]
        rests = {
            "latents": ("scenes", "joint"),
            "frozen scenes": ("scenes", "joint"),
            "glimpses": ("joint", "latents"),  # which train the anchor that writes them down
            "looks": ("scenes", "joint"),
            "laws": ("joint", *_UNROLLING),
        }
        for number, kind in enumerate(kinds):
            if kind in rests and not set(rests[kind]) & set(kinds[:number]):
                return True
        return isinstance(self.model, ModelConfig) and bool(self.model.visible) and "looks" not in kinds

    def _check_peer(self) -> None:
        """Refuse what the peer would not heed."""
        ours = ("matrix_rate", "memory_rate", "action_free", "masked", "blocked", "jostled", "flip", "frozen_unroll")
        for phase in self.phases:
            if phase.kind not in ("joint", "latents"):
                raise ValueError(f"preset {self.name}: the peer has phases joint and latents, not {phase.kind}")
            if phase.rollout > 1:
                raise ValueError(f"preset {self.name}: the peer predicts one turn ahead: rollout is for the game")
            for name in ours:
                if getattr(phase, name):
                    raise ValueError(f"preset {self.name}: {name} is for our own models, not for the peer")

    @property
    def task(self) -> str:
        """One of ``TASKS``."""
        return next(name for name, kind in TASKS.items() if isinstance(self.model, kind))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"task": self.task}


def with_defaults(found: Mapping[str, Any], preset: Preset) -> dict[str, Any]:
    """An older preset, as :meth:`Preset.to_dict` wrote it, with the entries that there were not yet at their defaults.

    Whatever a new entry's default is, it is what was done before there was the entry.

    Args:
        found: the older one.
        preset: what it is compared with; the model's defaults are those of its architecture.
    """
    known = {f.name for f in fields(preset.model)}
    model = {name: value for name, value in dict(found.get("model", {})).items() if name in known}
    records = {"model": type(preset.model).from_dict(model).to_dict(), "loss": asdict(LossWeights())}
    phase = {f.name: f.default for f in fields(PhaseConfig) if f.default is not MISSING}
    filled = {"task": preset.task, "changes": ()} | dict(found)
    filled |= {name: defaults | filled.get(name, {}) for name, defaults in records.items()}
    return filled | {"phases": [phase | some for some in filled.get("phases", [])]}


def preset_names() -> list[str]:
    """Names of the presets that ship with the package."""
    folder = resources.files("pushjepa.training") / "presets"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_preset(name: str, changes: Sequence[str] = ()) -> Preset:
    """A shipped preset by name, or any TOML file by path.

    Args:
        name: of the preset, or a path that ends in ``.toml``.
        changes: entries to read differently, ``KEY=VALUE`` each, in order: ``seed``, ``model.NAME``, ``loss.NAME``, or
            ``phase.N.NAME`` with the phase's number from 0 on. ``phase.N=off`` leaves a phase out; numbers stay those
            of the file.

    Raises:
        ValueError: no such preset, or a name that means nothing.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise ValueError(f"no preset file {name}")
        return parse_preset(path.stem, path.read_text(), changes)
    if name not in preset_names():
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(preset_names())} or a .toml file")
    text = (resources.files("pushjepa.training") / "presets" / f"{name}.toml").read_text()
    return parse_preset(name, text, changes)


def parse_preset(name: str, text: str, changes: Sequence[str] = ()) -> Preset:
    """Read a preset from TOML text; see :func:`load_preset`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"preset {name}: not valid TOML: {error}") from None
    raw = _changed(raw, changes) if changes else raw
    unknown = sorted(set(raw) - {"task", "seed", "model", "loss", "phase"})
    if unknown:
        raise ValueError(f"preset {name}: unknown entry {unknown[0]!r}")
    task = raw.get("task", "relay")
    if task not in TASKS:
        raise ValueError(f"preset {name}: unknown task {task!r}; choose one of {', '.join(TASKS)}")
    if not raw.get("phase"):
        raise ValueError(f"preset {name}: at least one [[phase]] is needed")
    try:
        return Preset(
            name=name,
            seed=int(raw.get("seed", 0)),
            model=TASKS[task].from_dict(raw.get("model", {})),
            loss=_record(LossWeights, raw.get("loss", {}), name),
            phases=tuple(_record(PhaseConfig, phase, name) for phase in raw["phase"]),
            changes=tuple(changes),
        )
    except TypeError as error:
        raise ValueError(f"preset {name}: a value of the wrong kind: {error}") from None


def _changed(raw: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A preset's entries with some of them read differently; see :func:`load_preset`."""
    phases: dict[str, Any] = {str(number): dict(phase) for number, phase in enumerate(raw.get("phase", []))}
    tables = {name: dict(raw.get(name, {})) for name in ("model", "loss")}
    changed = dict(raw) | tables
    for change in changes:
        key, given, text = change.partition("=")
        path = key.strip().split(".")
        if not given:
            raise ValueError(f"a change is KEY=VALUE, such as loss.state=1, got {change!r}")
        if path[0] == "phase" and (len(path) == 1 or path[1] not in phases):
            raise ValueError(f"{key}: there is no such phase; they are numbered {', '.join(phases)}")
        if path[0] == "phase" and len(path) == 2 and text.strip() == "off":
            del phases[path[1]]
        elif path[0] == "phase" and len(path) == 3:
            phases[path[1]][path[2]] = _value(text)
        elif path[0] in tables and len(path) == 2:
            tables[path[0]][path[1]] = _value(text)
        elif path == ["seed"]:
            changed["seed"] = _value(text)
        else:
            raise ValueError(f"{key}: choose seed, model.NAME, loss.NAME, phase.N.NAME or phase.N=off")
    return changed | {"phase": list(phases.values())}


def _value(text: str) -> Any:
    """What TOML reads in ``text``; a bare word is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _record(kind: type[T], values: dict[str, Any], preset: str) -> T:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"preset {preset}: unknown option {unknown[0]!r}; known: {', '.join(sorted(known))}")
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in values]  # type: ignore[arg-type]
    if missing:
        raise ValueError(f"preset {preset}: {missing[0]} is missing")
    for f in fields(kind):  # type: ignore[arg-type]
        allowed = _KINDS[str(f.type)]
        value = values.get(f.name)
        if value is not None and (not isinstance(value, allowed) or isinstance(value, bool) != (allowed is bool)):
            raise ValueError(f"preset {preset}: {f.name} is a value of type {f.type}, got {value!r}")
    return kind(**values)
