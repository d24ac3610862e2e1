"""A few gradient steps on a few named weights, where other laws alone do not explain what was seen.

Online test-time training (Sun et al., 2020) of a world model: recent transitions are what it learns from, stored ones
of its own world keep it from forgetting (experience replay; Lin, 1992), and a recent transition that it did not learn
from must be foreseen better afterwards, or nothing was learned. The model that is given is never changed.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pushjepa.adaptation.inference import NOISE
from pushjepa.adaptation.records import ARM, Transition, points_of
from pushjepa.nets.mech import Frame, MechJEPA
from pushjepa.nets.model import JEPA
from pushjepa.nets.unroll import unit
from pushjepa.physics.constants import BOARD_CENTRE
from pushjepa.physics.geometry import Array
from pushjepa.pusht.model import PushTModel
from pushjepa.runtime.contract import LawfulModel
from pushjepa.runtime.torch_backend import TorchBackend

Net = JEPA | MechJEPA

#: Weights that can be learned, by name, and what they are.
SETS: dict[str, str] = {
    "unroll-last": "the unroll's last residual block, its norm and the motion that it gives",
    "laws": "the law adapter's bends and corrections; they act under other laws than the standard ones only",
    "codebook": "the memory of mechanisms and the predictor (MechJEPA)",
    "predictor-first": "the predictor's first block",
    "predictor-last": "the predictor's last block and its output layer",
    "head": "the state head, from which the unroll begins (models of one token)",
}
_LATENTS = ("codebook", "predictor-first", "predictor-last")  # judged by latents: no state is foreseen with them
_CODES = "memory.codebook._codebook.embed"
_STORED = 64  # stored transitions that are mixed in
_HELD = 4  # one of so many recent transitions is held back, the newest ones


def tensors_of(net: Net, weights: str) -> tuple[str, ...]:
    """The names in ``net`` of a set of weights.

    Raises:
        ValueError: an unknown set, or one that the network lacks; it names those that it has.
    """
    sets = _prefixes(net)
    if weights not in sets:
        what = "this model has no weights called" if weights in SETS else "unknown weights"
        raise ValueError(f"{what} {weights!r}; choose one of {', '.join(sets)}")
    return tuple(name for name, _ in _tensors(net) if any(_is_of(name, part) for part in sets[weights]))


def _prefixes(net: Net) -> dict[str, tuple[str, ...]]:
    """What the names of each set's tensors in ``net`` begin with; a set that it lacks is not there."""
    found: dict[str, tuple[str, ...]] = {}
    if net.unroll is not None:
        found["unroll-last"] = (f"unroll.blocks.{len(net.unroll.blocks) - 1}.", "unroll.norm.", "unroll.motion.")
        if net.unroll.laws is not None:
            found["laws"] = ("unroll.laws.film.", "unroll.laws.out.")
    if isinstance(net, MechJEPA) and net.memory is not None:
        # A codebook's entries are chosen, not blended: what looks for them has no gradient.
        found["codebook"] = (_CODES if net.config.mechanism == "vq" else "memory.", "predictor.")
    last = len(net.predictor.blocks) - 1
    found["predictor-first"] = ("predictor.blocks.0.",)
    found["predictor-last"] = (f"predictor.blocks.{last}.", "predictor.norm.", "predictor.out.")
    if net.unroll is not None and (isinstance(net, JEPA) or net.config.slots == 1):
        found["head"] = ("head." if isinstance(net, JEPA) else "heads.",)
    return {name: found[name] for name in SETS if name in found}


def _is_of(name: str, part: str) -> bool:
    return name.startswith(part) if part.endswith(".") else name == part


def _tensors(net: Net) -> Iterator[tuple[str, Tensor]]:
    return chain(net.named_parameters(), net.named_buffers())


def net_of(model: Any) -> Net:
    """The network of a model that runs on torch.

    Raises:
        ValueError: it does not.
    """
    if isinstance(model, TorchBackend):
        return model._model
    if isinstance(model, PushTModel):
        return model.net
    raise ValueError("weights can be learned of a model that runs on torch only; load it with the torch backend")


def with_net(model: Any, net: Net) -> LawfulModel:
    """The same model with another network."""
    net_of(model)
    other = copy.copy(model)
    if isinstance(other, TorchBackend):
        other._model = cast(JEPA, net)
    else:
        other.net = net
    return cast(LawfulModel, other)


def copy_of(net: Net, names: Sequence[str]) -> Net:
    """A network with named tensors of its own; it shares all others with ``net``."""
    wanted = set(names)
    memo: dict[int, Any] = {id(tensor): tensor for name, tensor in _tensors(net) if name not in wanted}
    return copy.deepcopy(net, memo)


class WeightLearner:
    """Fulfils :class:`pushjepa.adaptation.system_m.Learner` for models that run on torch.

    Args:
        weights: which of ``SETS`` is learned.
        stored: transitions of the model's own world, seen under the standard laws; they count as much as recent ones.
        steps: of gradient at most (Adam; Kingma and Ba, 2015); with 0 nothing is learned.
        rate: how far a step goes; with 0 nothing is learned.
        seed: of the draw among the stored transitions, which is the same each time.

    Raises:
        ValueError: unknown weights, or a negative number of steps or rate.
    """

    def __init__(
        self,
        weights: str = "unroll-last",
        stored: Sequence[Transition] = (),
        steps: int = 8,
        rate: float = 3e-4,
        seed: int = 0,
    ) -> None:
        if weights not in SETS:
            raise ValueError(f"unknown weights {weights!r}; choose one of {', '.join(SETS)}")
        if steps < 0 or rate < 0.0:
            raise ValueError(f"steps and rate must not be negative, got {steps} and {rate:g}")
        self.weights, self.steps, self.rate = weights, steps, rate
        chosen = np.random.default_rng(seed).permutation(len(stored))[:_STORED]
        self.stored = [stored[index] for index in sorted(chosen)]

    def learn(
        self, model: Any, transitions: Sequence[Transition], conditions: Array, seconds: float
    ) -> tuple[LawfulModel, int] | None:
        """A model that learned from recent transitions; it shares all but the named weights with the given one.

        The newest quarter of the transitions is held back, or with only one of them a quarter of the stored ones. What
        is held back must be foreseen better after the steps than before.

        Args:
            model: a ``TorchBackend`` or a ``PushTModel``; it is left as it is.
            transitions: recent ones, oldest first.
            conditions: (C,) numbers of the laws that are believed to have held in them.
            seconds: no step is begun later than this.

        Returns:
            The model and how many steps it took; None if they did not help, or nothing could tell whether they did.

        Raises:
            ValueError: a model that does not run on torch or lacks the weights, or transitions without the latents that
                these weights are judged by.
        """
        begun = time.perf_counter()
        given = net_of(model)
        names = tensors_of(given, self.weights)
        net = copy_of(given, names)
        task = _Task.of(net, self.weights in _LATENTS, transitions, conditions, self.stored)
        if task is None:
            return None
        tensors = dict(_tensors(net))
        with torch.no_grad():
            before = float(task.held_error())
        done = self._descend(task, [tensors[name] for name in names], begun, seconds)
        with torch.no_grad():
            after = float(task.held_error())
        return (with_net(model, net), done) if done and after < before else None

    def _descend(self, task: _Task, weights: list[Tensor], begun: float, seconds: float) -> int:
        """Change ``weights``, which are leaves; how many steps that took."""
        known = [weight.requires_grad for weight in weights]
        for weight in weights:
            weight.requires_grad_(True)
        optimiser, done = torch.optim.Adam(weights, lr=self.rate), 0
        while done < self.steps and time.perf_counter() - begun < seconds:
            # Not backward(): other weights are shared with the model that must not change, not even its gradients.
            slopes = torch.autograd.grad(task.error(), weights, allow_unused=True)
            if all(slope is None for slope in slopes):
                break
            for weight, slope in zip(weights, slopes, strict=True):
                weight.grad = slope
            optimiser.step()
            done += 1
        for weight, needed in zip(weights, known, strict=True):
            weight.grad = None
            weight.requires_grad_(needed)
        return done


class _Batch(NamedTuple):
    """N transitions as tensors.

    Attributes:
        latents: (N, T, K, D) up to their start; T is 1 where the predictor does not matter.
        blocks: (N, T, frameskip, agents, 2) after each of them.
        before: (N, 2) the first agent's action before the first of these blocks.
        actors: (N, T).
        laws: (N, C) or None for the standard ones.
        points: (N, P, 2) px where the bodies were seen at the end.
        after: (N, K, D) latents seen at the end; None where the predictor does not matter.
    """

    latents: Tensor
    blocks: Tensor
    before: Tensor
    actors: Tensor
    laws: Tensor | None
    points: Tensor
    after: Tensor | None

    @classmethod
    def of(cls, transitions: Sequence[Transition], conditions: Array, whole: bool, device: torch.device) -> _Batch:
        """From transitions under laws (C,); ``whole`` with all that the predictor takes and gives."""
        latents, blocks, before, actors, after = zip(*(_parts(one, whole) for one in transitions), strict=True)

        def tensor(parts: Iterable[Any], kind: Any = np.float32) -> Tensor:
            return torch.from_numpy(np.stack([np.asarray(part, dtype=kind) for part in parts])).to(device)

        told = np.repeat(np.asarray(conditions)[None], len(transitions), axis=0)
        return cls(
            tensor(latents),
            tensor(blocks),
            tensor(before),
            tensor(actors, np.int64),
            tensor(told) if np.any(conditions) else None,
            tensor(points_of(np.stack([one.seen for one in transitions]))),
            tensor(after) if whole else None,
        )


def _parts(one: Transition, whole: bool) -> tuple[Any, ...]:
    """Latents, blocks, the action before them, actors and what was seen of a transition, with its past if ``whole``."""
    if not whole:
        return one.latents[None], one.block[None], one.earlier[-1, 0], [one.actor], None
    if one.context is None or one.after is None:
        raise ValueError("the predictor learns from transitions that hold their context and the latents after them")
    latents, blocks, actors = one.context
    return latents, [*blocks, one.block], np.zeros(2), [*actors, one.actor], one.after


@dataclass(frozen=True)
class _Task:
    """What a network is to learn, and what it is judged by.

    Attributes:
        net: that learns.
        recent, stored, held: transitions; ``stored`` may be missing.
    """

    net: Net
    recent: _Batch
    stored: _Batch | None
    held: _Batch

    @classmethod
    def of(
        cls, net: Net, whole: bool, recent: Sequence[Transition], conditions: Array, stored: Sequence[Transition]
    ) -> _Task | None:
        """Hold something back; None if there is nothing to learn from or to hold back."""
        standard, device = np.zeros_like(conditions), next(net.parameters()).device
        if len(recent) > 1:
            first = len(recent) - max(1, len(recent) // _HELD)
            recent, held, told = recent[:first], recent[first:], conditions
        else:
            held, told = stored[::_HELD], standard
            stored = [one for index, one in enumerate(stored) if index % _HELD]
        if not recent or not held:
            return None
        kept = _Batch.of(stored, standard, whole, device) if stored else None
        return cls(net, _Batch.of(recent, conditions, whole, device), kept, _Batch.of(held, told, whole, device))

    def error(self) -> Tensor:
        """What a step makes smaller: stored transitions have an equal share in it."""
        recent = _error(self.net, self.recent)
        return recent if self.stored is None else 0.5 * (recent + _error(self.net, self.stored))

    def held_error(self) -> Tensor:
        """Of what was held back."""
        return _error(self.net, self.held)


def _error(net: Net, batch: _Batch) -> Tensor:
    """Squared distance of latents; where the predictor does not matter, a smooth distance (pseudo-Huber) of points."""
    if batch.after is not None:
        predict = _predict_game if isinstance(net, JEPA) else _predict_pusht
        return (predict(net, batch) - batch.after).square().mean()  # type: ignore[arg-type]
    off = (_points(_unroll(net, batch)) - batch.points) / NOISE
    return ((1.0 + off.square().sum(dim=-1)).sqrt() - 1.0).mean()


def _unroll(net: Net, batch: _Batch) -> Tensor:
    """The numbers (N, S) of the states that the unroll leads to, as ``foresee`` has them."""
    latents, blocks = batch.latents[:, -1], batch.blocks[:, -1]
    assert net.unroll is not None, "no set of weights is judged by states without one"
    if isinstance(net, JEPA):
        flat = latents[:, 0]
        scene = net.scene(flat).softmax(dim=-1)
        ends: Tensor = net.unroll(net.head(flat), scene, blocks, batch.actors[:, -1], batch.laws)[:, -1]
        return ends
    return cast(Tensor, net.unroll(net.heads(latents), batch.before, blocks[:, :, 0], batch.laws)[0][:, -1])


def _predict_game(net: JEPA, batch: _Batch) -> Tensor:
    """The next latents (N, 1, D), as a rollout has them."""
    steps = batch.latents.shape[1]
    laws = None if batch.laws is None else batch.laws.repeat_interleave(steps, dim=0)
    latents, blocks, actors = (part.flatten(0, 1) for part in (batch.latents[:, :, 0], batch.blocks, batch.actors))
    flat = net.turn_tokens(latents, blocks, actors, laws)  # (N T, P)
    turns = flat.reshape(-1, steps, flat.shape[-1])
    return net.predict_last(turns[:, :-1], turns[:, -1])[:, None]


def _predict_pusht(net: MechJEPA, batch: _Batch) -> Tensor:
    """The next slots (N, K, D), as a rollout has them."""
    steps, told = batch.latents.shape[1], batch.blocks[:, :, :, 0]
    laws = None if batch.laws is None else batch.laws.repeat_interleave(steps, dim=0)
    earlier = torch.cat([batch.before[:, None], told[:, :-1, -1]], dim=1)
    seen, retrieved = net.frame(batch.latents.flatten(0, 1), earlier.flatten(0, 1), told.flatten(0, 1), laws=laws)
    if retrieved is not None and net.config.mechanism == "vq":
        # The same vectors, with a gradient to the codebook's entries.
        seen = seen._replace(mechanisms=net.get_buffer(_CODES)[0][retrieved.codes])
    window: Frame = seen.map(lambda part: part.reshape(-1, steps, *part.shape[1:]))
    return net.attend(window)[:, -1]


def _points(numbers: Tensor) -> Tensor:
    """What :func:`~pushjepa.adaptation.records.points_of` gives (N, P, 2) px, of a state head's numbers (N, S)."""
    places = BOARD_CENTRE * (1.0 + numbers[:, :-2].reshape(len(numbers), -1, 2))
    arm = places[:, -1] + ARM * unit(numbers[:, -2:])
    return torch.cat([places, arm[:, None]], dim=1)


@dataclass(frozen=True)
class Delta:
    """What was learned, as differences to the weights that it began with.

    Floating-point numbers do not come back from adding and subtracting, so that the differences are those of their
    bits, taken as whole numbers: applied and undone they give the very weights.

    Attributes:
        base: digest of the checkpoint that it belongs to.
        before, after: digests of the named tensors without and with it.
        tensors: int32 differences, by the tensors' names.
    """

    base: str
    before: str
    after: str
    tensors: Mapping[str, Tensor]

    @classmethod
    def between(cls, old: Any, new: Any, base: str) -> Delta:
        """From model ``old``, whose checkpoint has the digest ``base``, to ``new``.

        Raises:
            ValueError: models of other sizes, or one that does not run on torch.
        """
        olds, news = (dict(_tensors(net_of(model))) for model in (old, new))
        if {n: t.shape for n, t in olds.items()} != {n: t.shape for n, t in news.items()}:
            raise ValueError("the two models are of different sizes: there is no difference of their weights")
        names = [name for name in olds if not _same(olds[name], news[name])]
        tensors = {name: _bits(news[name]) - _bits(olds[name]) for name in names}
        return cls(base, _digest(olds, names), _digest(news, names), tensors)

    def apply(self, model: Any, base: str) -> LawfulModel:
        """The model with what was learned, where ``base`` is its checkpoint's digest; the given one is left alone.

        Raises:
            ValueError: it belongs to another model, or this one's weights are not those that it began with.
        """
        if base != self.base:
            raise ValueError(f"these weights belong to the model {self.base[:12]}, not to {base[:12]}")
        return self._moved(model, 1, self.before)

    def undo(self, model: Any) -> LawfulModel:
        """The model without what was learned; the given one is left alone.

        Raises:
            ValueError: its weights are not those that were learned.
        """
        return self._moved(model, -1, self.after)

    def _moved(self, model: Any, sign: int, wanted: str) -> LawfulModel:
        given = net_of(model)
        known = dict(_tensors(given))
        fits = all(name in known and known[name].shape == part.shape for name, part in self.tensors.items())
        if not fits or _digest(known, list(self.tensors)) != wanted:
            raise ValueError("the model's weights are not those that this difference of weights is to be added to")
        net = copy_of(given, list(self.tensors))
        own = dict(_tensors(net))
        with torch.no_grad():
            for name, part in self.tensors.items():
                own[name].copy_((_bits(own[name]) + sign * part.to(own[name].device)).view(torch.float32))
        return with_net(model, net)

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        about = {"base": self.base, "before": self.before, "after": self.after}
        save_file({name: part.cpu().contiguous() for name, part in self.tensors.items()}, path, about)

    @classmethod
    def load(cls, path: Path) -> Delta:
        """What :meth:`save` wrote.

        Raises:
            ValueError: no such file, or something else in it.
        """
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
            delta = cls(about["base"], about["before"], about["after"], tensors)
        except FileNotFoundError:
            raise ValueError(f"{path} is missing: there are no weights to be added") from None
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"{path} holds no difference of weights: {error}") from None
        if any(part.dtype != torch.int32 for part in tensors.values()):
            raise ValueError(f"{path} holds no difference of weights: it must be of whole numbers")
        return delta


def _bits(tensor: Tensor) -> Tensor:
    """The bits of float32 numbers as whole ones, in the same shape."""
    if tensor.dtype != torch.float32:
        raise ValueError(f"a difference of weights is one of float32 numbers, got {tensor.dtype}")
    return tensor.detach().contiguous().view(torch.int32)


def _same(one: Tensor, other: Tensor) -> bool:
    if one is other:
        return True
    if one.dtype == other.dtype == torch.float32:
        return torch.equal(_bits(one), _bits(other))
    return torch.equal(one, other)


def _digest(tensors: Mapping[str, Tensor], names: Sequence[str]) -> str:
    """SHA-256 of named tensors, hexadecimal."""
    found = hashlib.sha256()
    for name in sorted(names):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
