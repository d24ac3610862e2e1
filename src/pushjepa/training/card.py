"""The model card: what the model is, what it was trained on, what it measured. Written by the training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pushjepa.data import Recipe
from pushjepa.nets import JEPA
from pushjepa.pusht.collect import CollectOptions
from pushjepa.runtime.checkpoint import CARD
from pushjepa.training.presets import PhaseConfig, Preset


def write_card(
    folder: Path,
    model: JEPA,
    preset: Preset,
    recipes: Sequence[Recipe],
    metrics: Mapping[str, Mapping[str, float]],
    learned: Mapping[str, Any],
) -> None:
    """Write ``README.md`` into a checkpoint folder.

    Args:
        folder: where to.
        model, preset, recipes: what was trained, how and on which stores of episodes.
        metrics: the phases' last validations by name.
        learned: all that it learned from, its start's data too.
    """
    sections = [
        _HEADER.format(name=preset.name),
        "## Parameters\n",
        parameter_table(model.parameters_by_part()),
        "## Data\n",
        f"{' '.join(map(_store_sentence, recipes))} This run never trained on the last 2%"
        f"{' of each store' if len(recipes) > 1 else ''}.{_start_sentence(learned)}\n",
        "## Recipe\n",
        phase_table(preset),
        "*Drawn apart* are shares of a batch: windows whose first foreseen turn moves the block (moved), stops an "
        "agent short while the block stays (blocked) or pushes the waiting agent (jostled); scenes that are states of "
        "episodes (played); substeps that the agents' motors alone do not explain (eventful).\n",
        *([f"Not as in the preset: {', '.join(preset.changes)}.\n"] if preset.changes else []),
        f"Weights of the losses beside the prediction's: SIGReg as above, state {preset.loss.state:g}, stage "
        f"{preset.loss.stage:g}. "
        f"Seed {preset.seed}. History {model.config.history} frames, one action block of {model.config.frameskip} env "
        f"steps between them, frames of {model.config.frame_size} px.\n",
        "## Validation at the end of each phase\n",
        "Board pixels and degrees; `turn_*` over held-out turns that moved the block by more than 10 px, in "
        "`substeps`, `turns` and `laws` from true positions blurred a little, elsewhere from frames; `told_*` and "
        "`unaware_*` so under laws of physics drawn at random, with the unroll told of them and not. "
        "`rollout_block_px` is the block's error after the last turn of a rollout, over all windows. In `looks`, "
        "`decode_*` is what the second look reads of scenes with other blocks, `first_*` what the first does, and "
        "`number_*_off` the mean error of a number of the laws that it tells; in `glimpses`, `first_*` is what is read "
        "at a glance, `decode_*` what is after the closer look. `seconds` are those of a phase's last sitting.\n",
        metric_table(metrics),
    ]
    (folder / CARD).write_text("\n".join(sections))


_HEADER = """---
license: mit
tags: [world-model, jepa, pushjepa]
---
# PushJEPA {name}

A joint-embedding predictive world model of a two-player push game, trained from pixels. Load it with
`pushjepa play --model FOLDER` or `pushjepa.runtime.load_model(FOLDER)`.
"""


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def parameter_table(parts: Mapping[str, int]) -> str:
    """Number of parameters of each part."""
    return _table(("part", "parameters"), [(name, f"{count:,}") for name, count in parts.items()])


def data_paragraph(options: CollectOptions, frames: int, learned: Mapping[str, Any]) -> str:
    """Which Push-T trajectories a model learned from, and how to come by them; ``learned`` tells of its start too."""
    if options.source is None:
        made = f"collect --episodes {options.episodes} --seed {options.seed} --limit {options.limit}` makes"
    else:
        made = f"import {options.source}` reads"
    kept = f"{options.episodes:,} expert trajectories ({frames:,} frames); this run never trained on the last 2%."
    return f"{kept} `pushjepa pusht {made} them again.{_start_sentence(learned)}\n"


def _store_sentence(recipe: Recipe) -> str:
    """What a store of the game's episodes holds, and the command that makes it again."""
    branched = recipe.visited is not None
    source = f" branched from matches of the model {_visited_model(recipe)}" if branched else ""
    option = " --visited EXPERIENCE" if branched else ""
    if recipe.acting == "step":
        source = " in which the agents alternate at every env step (the actor is who begins a block of five)"
        option = " --acting step"
    return (
        f"{recipe.episodes:,} episodes x {recipe.steps} env steps ({recipe.episodes * recipe.steps:,} steps){source}, "
        f"stages {', '.join(recipe.stages)}, seed {recipe.seed}: `pushjepa generate{option} --episodes "
        f"{recipe.episodes} --steps {recipe.steps} --seed {recipe.seed}`."
    )


def _visited_model(recipe: Recipe) -> str:
    """The name of the model from whose matches a store is branched."""
    name: str = ((recipe.visited or {}).get("about") or {}).get("model", "(unnamed)")
    return name


def _start_sentence(learned: Mapping[str, Any]) -> str:
    if "start" not in learned:
        return ""
    return " It started from weights that were trained already: `data` in the config says on what."


def phase_table(preset: Preset) -> str:
    """What each phase of a recipe is."""
    rows = [
        (
            i,
            _kind(p),
            f"{p.steps:,}",
            p.batch,
            _shares(p, preset.task == "pusht"),
            f"{p.episodes:,}" if p.episodes else "all",
            *_rates(p),
            _sigreg(p, preset),
            _norms(p, preset),
        )
        for i, p in enumerate(preset.phases)
    ]
    head = (
        "#",
        "phase",
        "steps",
        "batch",
        "drawn apart",
        "episodes",
        "AdamW's peak rate",
        "Muon's",
        "weight decay",
        "SIGReg",
        "BatchNorm",
    )
    return _table(head, rows)


def _kind(phase: PhaseConfig) -> str:
    """A phase's kind and what is special about it."""
    special = {"encoder frozen": phase.frozen_encoder, "unroll frozen": phase.frozen_unroll}
    special |= {"without actions": phase.action_free}
    special[f"{phase.rollout} turns ahead"] = phase.rollout > 1
    special[f"goals up to {phase.reach} steps ahead"] = phase.kind == "prior"
    return ", ".join([phase.kind, *(words for words, holds in special.items() if holds)])


def _shares(phase: PhaseConfig, pusht: bool) -> str:
    """What part of a batch comes from particular windows, and how they are changed."""
    shares = {"moved": phase.moved, "blocked": phase.blocked, "jostled": phase.jostled, "masked": phase.masked}
    shares |= {"eventful": phase.eventful}
    words = [f"{name} {share:g}" for name, share in (shares | {"played": phase.played}).items() if share]
    if phase.kind in ("laws", "looks"):
        words.append("under laws drawn at random")
    if phase.branches:
        words.append(f"{phase.branches:,} branches")
    if phase.flip:
        turned = "turned" if phase.kind == "laws" else "turned and mirrored"
        words.append(turned if pusht else "upside down 0.5")
    return ", ".join(words)


def _rates(phase: PhaseConfig) -> tuple[str, str, str]:
    adam = f"{phase.learning_rate:g}" + (f" (memory {phase.memory_rate:g})" if phase.memory_rate else "")
    return adam, f"{phase.matrix_rate:g}" if phase.matrix_rate else "", f"{phase.weight_decay:g}"


def _sigreg(phase: PhaseConfig, preset: Preset) -> str:
    """SIGReg's weight where latents are learned; elsewhere there is nothing to regularise."""
    if not _shapes_latents(phase, preset):
        return ""
    return f"{preset.loss.sigreg if phase.sigreg is None else phase.sigreg:g}"


def _norms(phase: PhaseConfig, preset: Preset) -> str:
    if not _shapes_latents(phase, preset) and phase.kind != "looks":
        return ""
    return "frozen" if phase.frozen_norm else "learning"


def _shapes_latents(phase: PhaseConfig, preset: Preset) -> bool:
    """Whether the phase trains what latents come from; the peer's projector learns on cached tokens too."""
    return preset.task == "peer" or (phase.kind in ("scenes", "joint") and not phase.frozen_encoder)


def metric_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """The last validation of each phase, side by side."""
    names = sorted({name for values in metrics.values() for name in values})
    rows = [(name, *(f"{values[name]:.4g}" if name in values else "" for values in metrics.values())) for name in names]
    return _table(("figure", *metrics), rows)
