"""Which parameters Muon takes, and which AdamW."""

from dataclasses import replace

from pushjepa.nets import JEPA, ModelConfig
from pushjepa.training.optimizer import build_optimizer
from pushjepa.training.presets import PhaseConfig, Preset

PHASE = PhaseConfig("joint", steps=4, batch=16, learning_rate=1e-3)


def test_muon_takes_the_layers_matrices_and_adamw_the_rest(tiny: Preset) -> None:
    model = JEPA(replace(tiny.model, bypass=True, encoder_fine=2, glimpse_hidden=8))
    optimizer = build_optimizer(model, replace(PHASE, matrix_rate=0.02))
    muon, adamw = optimizer.param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    taken = {names[id(p)] for p in muon["params"]}
    assert "unroll.blocks.0.net.1.weight" in taken
    assert "predictor.blocks.0.qkv.weight" in taken
    # Hidden ones outside of blocks too, but neither what takes raw inputs in (but pixels) nor what gives outputs.
    assert {"encoder.out.weight", "projector.0.weight", "projector.3.weight", "head.0.weight", "head.2.weight"} <= taken
    assert {f"unroll.of_{pair}.2.weight" for pair in ("block", "agents", "board")} <= taken
    assert {f"glimpses.of_{body}.{i}.weight" for body in ("p1", "p2", "block") for i in (0, 2)} <= taken
    outer = (
        "glimpses.of_p1.4",
        "glimpses.of_block.4",
        "unroll.enter",
        "unroll.motion",
        "unroll.felt",
        "unroll.stood",
        "unroll.feelers",
        "unroll.of_block.0",
    )
    outer += ("unroll.of_block.4", "encoder.maps", "encoder.blocks", "head.4", "scene", "lift", "anchor")
    assert not any(name.startswith(outer) or name.endswith(("bias", "bypass")) for name in taken)
    assert {name for name in names.values() if name.startswith(outer)}, "which the model has"
    assert len(taken) + len(adamw["params"]) == len(names)
    assert (muon["lr"], adamw["lr"], adamw["use_fallback"]) == (0.02, 1e-3, True)


def test_muon_takes_the_matrices_of_the_vits_blocks_and_none_of_its_embeddings() -> None:
    model = JEPA(ModelConfig(encoder="vit-tiny", frame_size=28, layers=1))
    muon, adamw = build_optimizer(model, replace(PHASE, matrix_rate=0.02)).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    taken, rest = ({names[id(p)] for p in group["params"]} for group in (muon, adamw))
    assert {f"encoder.vit.blocks.{index}.attn.qkv.weight" for index in range(12)} <= taken
    assert {"encoder.vit.pos_embed", "encoder.vit.cls_token", "encoder.vit.patch_embed.proj.weight"} <= rest
    assert not any(name.endswith(".bias") for name in taken)


def test_what_is_frozen_has_no_optimiser(tiny: Preset) -> None:
    model = JEPA(tiny.model)
    model.encoder.requires_grad_(False)
    trained = {id(p) for group in build_optimizer(model, PHASE).param_groups for p in group["params"]}
    assert not trained & {id(p) for p in model.encoder.parameters()}
