"""What single choices are worth: recipes that differ from one plain base in one thing, or in a few that are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pushjepa.nets import ModelConfig
from pushjepa.training.presets import Preset, load_preset

PRESET = "plain"  #: the base of all of them
BASE = "base"  #: the name of the base unchanged


@dataclass(frozen=True)
class Ablation:
    """One recipe.

    Attributes:
        name: on the command line.
        words: what it is, for the table.
        changes: to the preset, as ``pushjepa train --set`` takes them.
        acting: who acts in a block of training data: ``turn`` (one agent) or ``step`` (both, alternating).
        after: another ablation, whose finished model this one goes on from; empty to begin anew.
    """

    name: str
    words: str
    changes: tuple[str, ...] = ()
    acting: str = "turn"
    after: str = ""


ABLATIONS = (
    Ablation(BASE, "the plain design: whole turns, told who acts, state loss of weight 10"),
    Ablation("base-again", "the base with another seed: what luck alone does", ("seed=2",)),
    Ablation("step", "data in which the agents alternate at every step", acting="step"),
    Ablation("implicit", "not told who acts", ("model.explicit_actor=false",)),
    Ablation(
        "implicit-step", "alternating at every step, and not told who acts", ("model.explicit_actor=false",), "step"
    ),
    Ablation("linear", "the action encoder one linear map", ("model.action_encoder=linear",)),
    Ablation("lambda-0", "no positions and no stage shown while the encoder learns", ("loss.state=0", "loss.stage=0")),
    Ablation("lambda-1", "state loss of weight 1", ("loss.state=1",)),
    Ablation("lambda-100", "state loss of weight 100", ("loss.state=100",)),
    Ablation("no-sigreg", "no SIGReg", ("loss.sigreg=0",)),
    Ablation("rollout", "three turns foreseen one after another in the joint phase", ("phase.0.rollout=3",)),
    Ablation(
        "published",
        "all that was published otherwise: alternating, not told, linear, no bypass, no more turns that move the block",
        (
            "model.explicit_actor=false",
            "model.action_encoder=linear",
            "model.bypass=false",
            "loss.stage=0",
            "phase.0.moved=0",
        ),
        "step",
    ),
    Ablation(
        "finetuned",
        "the finished base, the joint phase again at lower rates (five epochs of 2,000 episodes), and phase B again",
        ("phase.0.learning_rate=3e-4", "phase.0.matrix_rate=0.002", "phase.0.moved=0"),
        after=BASE,
    ),
)


def get_ablations(names: Sequence[str]) -> list[Ablation]:
    """The ablations of these names, or all of them, each after the one that it goes on from.

    Raises:
        ValueError: an unknown name.
    """
    known = {ablation.name: ablation for ablation in ABLATIONS}
    for name in names:
        if name not in known:
            raise ValueError(f"unknown ablation {name!r}; choose from {', '.join(known)}")
    wanted = set(names) or set(known)
    wanted |= {known[name].after for name in wanted} - {""}
    return [ablation for ablation in ABLATIONS if ablation.name in wanted]


def load_recipe(base: str, ablation: Ablation) -> Preset:
    """The preset ``base``, by name or path, with an ablation's changes.

    Raises:
        ValueError: no such preset, or one whose parts the ablations would not fit.
    """
    preset = load_preset(base, ablation.changes)
    fits = isinstance(preset.model, ModelConfig) and not preset.model.unroll_hidden
    if not fits or preset.phases[0].kind != "joint":
        raise ValueError(f"ablations are of the game's models without an unroll whose phase 0 is joint, not of {base}")
    return preset
