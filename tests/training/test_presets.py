"""Presets: what ships can be read, and a typo fails in the first second."""

import pytest

from pushjepa.training.presets import load_preset, parse_preset, preset_names

TURNS = "[[phase]]\nkind = 'turns'\nsteps = 1\nbatch = 1\nlearning_rate = 1\n"
LAWS_PHASE = TURNS.replace("turns", "laws")
SCENES_PHASE = TURNS.replace("turns", "scenes")
JOINT_PHASE = TURNS.replace("turns", "joint")
SUBSTEPS_PHASE = TURNS.replace("turns", "substeps")
LOOKS_PHASE = TURNS.replace("turns", "looks")
GLIMPSES_PHASE = TURNS.replace("turns", "glimpses")
PUSHT_LOOKS = f"task = 'pusht'\n[model]\nlaws = 12\nvisible = {[1, *range(6, 12)]}\n" + LOOKS_PHASE
UNROLL = "[model]\nunroll_hidden = 8\n"
PUSHT_TURNS = "task = 'pusht'\n[model]\nlaws = {}\n" + TURNS


def test_every_shipped_preset_reads_and_names_its_phases() -> None:
    pusht = ["scenes", "scenes", "turns", "latents", "prior"]
    recipes = {
        "compact": ["scenes", "joint", "scenes", "substeps", "latents", "laws", "looks", "glimpses"],
        "mechjepa": ["scenes", "latents"],
        "plain": ["joint", "scenes"],
        "pusht-compact": pusht,
        "pusht-peer": ["joint"],
        "pusht-peer-frozen": ["latents"],
        "pusht-slots": [*pusht, "laws", "looks"],
        "vit-tiny": ["scenes", "joint", "scenes", "substeps", "latents"],
    }
    tasks = {"mechjepa": "pusht", "pusht-compact": "pusht", "pusht-slots": "pusht", "pusht-peer": "peer"} | {
        "pusht-peer-frozen": "peer"
    }
    assert preset_names() == sorted(recipes)
    for name, kinds in recipes.items():
        preset = load_preset(name)
        assert preset.name == name
        assert preset.task == tasks.get(name, "relay")
        assert [p.kind for p in preset.phases] == kinds
        assert (preset.loss.sigreg, preset.loss.state) == (0.09, 10.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = ", "not valid TOML"),
        ("sede = 1", "unknown entry 'sede'"),
        ("task = 'chess'", "unknown task 'chess'"),
        ("seed = 1", "at least one"),
        ("[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nstep = 2", "unknown option 'step'"),
        ("[[phase]]\nkind = 'warm'\nsteps = 1\nbatch = 1\nlearning_rate = 1", "unknown phase 'warm'"),
        ("[[phase]]\nkind = 'joint'\nsteps = 0\nbatch = 1\nlearning_rate = 1", "steps must be positive"),
        ("[[phase]]\nkind = 'joint'\nbatch = 1\nlearning_rate = 1", "steps is missing"),
        ("[[phase]]\nkind = 'turns'\nsteps = 1\nbatch = 1\nlearning_rate = 1", "unroll_hidden is 0"),
        (
            "[[phase]]\nkind = 'latents'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nfrozen_unroll = true",
            "freezes nothing",
        ),
        ("[[phase]]\nkind = 'latents'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nsigreg = 0.1", "encoder rests"),
        (
            "[[phase]]\nkind = 'scenes'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nfrozen_encoder = true\nsigreg = 0",
            "encoder rests",
        ),
        ("[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nfrozen_encoder = true", "scenes only"),
        ("[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nblur = -1", "must not be negative"),
        ("[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nmoved = 0.7\nblocked = 0.4", "too much"),
        (
            "[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nflip = true",
            "flip is for turns and prior and laws only",
        ),
        ("[[phase]]\nkind = 'prior'\nsteps = 1\nbatch = 1\nlearning_rate = 1", "the phase prior are for Push-T"),
        (
            "task = 'pusht'\n[[phase]]\nkind = 'prior'\nsteps = 1\nbatch = 1\nlearning_rate = 1",
            "trains the action prior, and prior_hidden is 0",
        ),
        (
            "[[phase]]\nkind = 'latents'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nmemory_rate = 1e-3",
            "branches and the phase prior are for Push-T",
        ),
        ("[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nfrozen_unroll = true", "latents only"),
        (
            "[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nplayed = 0.5",
            "played is for scenes and glimpses and looks only",
        ),
        ("[[phase]]\nkind = 'scenes'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nplayed = 1.5", "played is a share"),
        ("[model]\nunroll_hidden = 8\n" + LAWS_PHASE + "episodes = 2", "for an unroll with laws = 8"),
        ("[model]\nunroll_hidden = 8\nlaws = 8\n" + LAWS_PHASE, "the phase laws needs episodes"),
        ("[model]\nunroll_hidden = 8\nlaws = 8\n" + LOOKS_PHASE, r"for a model with visible = \[1, 6, 7\]"),
        ("[model]\nunroll_hidden = 8\nlaws = 8\nvisible = [0]\n" + TURNS, r"shows the numbers \[1, 6, 7\] of its laws"),
        ("[model]\nunroll_hidden = 8\nlaws = 8\nvisible = [1, 1]\n" + TURNS, r"each once, got \[1, 1\]"),
        ("[model]\nunroll_hidden = 8\nlaws = 8\nvisible = [8]\n" + TURNS, "some of the 8 numbers"),
        ("task = 'pusht'\n[model]\nlaws = 12\nvisible = [12]\n" + TURNS, "some of the 12 numbers"),
        (
            "[model]\nencoder = 'vit-tiny'\nunroll_hidden = 8\nlaws = 8\nvisible = [1, 6, 7]\n" + TURNS,
            "a second look is for the keypoint encoder",
        ),
        (PUSHT_LOOKS + "branches = 2", "give both or neither"),
        (PUSHT_LOOKS + "moved = 0.5", "moved means nothing to it"),
        (PUSHT_LOOKS + SCENES_PHASE, "after all that train the encoder"),
        (f"[model]\nunroll_hidden = 8\nlaws = 8\nvisible = {[1, 6, 7]}\n" + SCENES_PHASE, "needs a phase looks"),
        (PUSHT_LOOKS.replace("'looks'", "'turns'"), "needs a phase looks"),
        (PUSHT_LOOKS + "sigreg = 0.1", "so sigreg means nothing"),
        ("[model]\nunroll_hidden = 8\nlaws = 7\n" + TURNS, "told in 8 numbers, not in 7"),
        ("[model]\nlaws = 8\n" + TURNS, "8 of them, unroll_hidden 0"),
        (PUSHT_TURNS.format(3), "told in 12 numbers, not in 3"),
        ("task = 'pusht'\n" + LAWS_PHASE + "branches = 2", "with laws = 12"),
        ("[loss]\ndirections = 0\n" + TURNS, "directions must be at least 1"),
        ("task = 'pusht'\n[model]\nlaws = 12\n" + LAWS_PHASE, "the phase laws needs branches"),
        (PUSHT_TURNS.format(-1), "laws must not be negative"),
        ("task = 'pusht'\n[model]\nunroll_hidden = 0\nlaws = 12\n" + TURNS, "and unroll_hidden is 0"),
        ("[[phase]]\nkind = 'prior'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nbranches = 5", "branches is for scenes"),
        ("[[phase]]\nkind = 'turns'\nsteps = 1\nbatch = 1\nlearning_rate = 1\nbranches = -1", "must not be negative"),
        (SCENES_PHASE + "rollout = 2", "rollout is for joint and latents only"),
        ("[model]\nunroll_hidden = 8\n" + TURNS + "rollout = 2", "rollout is for joint and latents only"),
        (JOINT_PHASE + "rollout = 0", "rollout must be positive"),
        ("task = 'pusht'\n" + JOINT_PHASE + "rollout = 2", "rollout and frozen_encoder are for the game only"),
        ("task = 'peer'\n" + JOINT_PHASE + "rollout = 2", "the peer predicts one turn ahead"),
        ("[model]\nencoder = 'vit-tiny'\nencoder_points = 16\n" + SCENES_PHASE, "not for vit-tiny"),
        ("[model]\nencoder = 'vit-tiny'\nencoder_channels = [8, 8]\n" + SCENES_PHASE, "not for vit-tiny"),
        (SUBSTEPS_PHASE, "substeps and turns train the step unroll, and unroll_hidden is 0"),
        (UNROLL + SUBSTEPS_PHASE + "moved = 0.5", "phase substeps: moved means nothing to it"),
        (UNROLL + SUBSTEPS_PHASE + "sigreg = 0.1", "encoder rests"),
        (UNROLL + SUBSTEPS_PHASE + "flip = true", "flip is for turns and prior and laws only"),
        (UNROLL + SUBSTEPS_PHASE + "played = 0.5", "played is for scenes and glimpses and looks only"),
        (UNROLL + SUBSTEPS_PHASE + "eventful = 1.5", "eventful is a share, 1.5 is too much"),
        (UNROLL + SUBSTEPS_PHASE + "eventful = -0.5", "eventful must not be negative"),
        (UNROLL + TURNS + "eventful = 0.5", "eventful is for substeps and laws only"),
        ("task = 'pusht'\n" + SUBSTEPS_PHASE, "the phase substeps is for the game only"),
        (PUSHT_TURNS.format(12) + LAWS_PHASE + "branches = 2\neventful = 0.5", "eventful are for the game only"),
        (GLIMPSES_PHASE, "the phase glimpses is for a game's model with glimpse_hidden"),
        ("task = 'pusht'\n" + GLIMPSES_PHASE, "the phase glimpses is for a game's model with glimpse_hidden"),
        (GLIMPSES_PHASE + "sigreg = 0.1", "encoder rests"),
        (GLIMPSES_PHASE + "moved = 0.5", "phase glimpses: moved means nothing to it"),
        ("[model]\nglimpse_hidden = 8\n" + SCENES_PHASE, "written into a latent as what an unroll imagines"),
        ("task = 'peer'\n" + SUBSTEPS_PHASE, "the peer has phases joint and latents, not substeps"),
        ("[model]\nencoder = 'vit-tiny'\nencoder_fine = 4\n" + SCENES_PHASE, "not for vit-tiny"),
        ("[model]\nunroll_waves = 8\n" + SCENES_PHASE, "positive multiple of 6"),
        ("[loss]\nsig = 1\n[[phase]]\nkind = 'joint'\nsteps = 1\nbatch = 1\nlearning_rate = 1", "unknown option 'sig'"),
    ],
)
def test_a_bad_preset_is_refused_with_one_line(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_preset("mine", text)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(
        ValueError,
        match="unknown preset 'big'; choose one of compact, mechjepa, plain, pusht-compact, pusht-peer, "
        "pusht-peer-frozen, pusht-slots, vit-tiny",
    ):
        load_preset("big")


def test_entries_are_read_differently() -> None:
    plain = load_preset("compact")
    changed = load_preset(
        "compact",
        [
            "seed=7",
            "loss.state = 100",
            "loss.sigreg=0.0",
            "model.visible=[]",
            "model.encoder=vit-tiny",
            "model.encoder_fine=0",
            "model.frame_size=224",
            "phase.1.steps=12",
            "phase.6=off",
            "phase.2.frozen_norm=false",
        ],
    )
    assert (changed.seed, changed.loss.state, changed.loss.sigreg) == (7, 100, 0.0)
    assert (changed.model.encoder, changed.model.visible) == ("vit-tiny", ())
    assert [phase.kind for phase in changed.phases] == [p.kind for p in plain.phases if p.kind != "looks"]
    assert (changed.phases[1].steps, changed.phases[2].frozen_norm) == (12, False)
    assert plain.phases[2].frozen_norm
    assert (changed.phases[1].batch, changed.phases[3]) == (plain.phases[1].batch, plain.phases[3])
    assert changed.changes[0] == "seed=7"
    assert plain.changes == ()
    assert load_preset("compact") == plain


def test_the_game_s_scenes_may_be_played_ones_and_looks_have_a_rate_for_matrices() -> None:
    preset = parse_preset("mine", SCENES_PHASE + "played = 0.5\nmatrix_rate = 0.01")
    assert (preset.task, preset.phases[0].played) == ("relay", 0.5)
    looks = parse_preset(
        "mine", "[model]\nunroll_hidden = 8\nlaws = 8\nvisible = [1, 6, 7]\n" + LOOKS_PHASE + "matrix_rate = 0.01"
    )
    assert looks.phases[0].matrix_rate == 0.01


def test_phases_keep_their_numbers_while_some_are_left_out() -> None:
    changed = load_preset("compact", ["phase.1=off", "phase.2.steps=5", "model.visible=[]", "phase.6=off"])
    assert [phase.kind for phase in changed.phases] == ["scenes", "scenes", "substeps", "latents", "laws", "glimpses"]
    assert changed.phases[1].steps == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("loss.state", "KEY=VALUE"),
        ("loss.stat=1", "unknown option 'stat'"),
        ("state=1", "choose seed, model.NAME"),
        ("phase.9.steps=1", "no such phase"),
        ("phase=1", "no such phase"),
        ("phase.1.step=1", "unknown option 'step'"),
        ("phase.1=1", "choose seed, model.NAME"),
        ("model.encoder=resnet", "unknown encoder 'resnet'"),
        ("phase.6=off", "needs a phase looks"),
        ("phase.1.steps=abc", "steps is a value of type int, got 'abc'"),
        ("phase.1.steps=1.5", "steps is a value of type int, got 1.5"),
        ("phase.2.frozen_norm=1", "frozen_norm is a value of type bool, got 1"),
        ("loss.state=true", "state is a value of type float, got True"),
        ("model.visible=1", "a value of the wrong kind"),
    ],
)
def test_a_change_that_means_nothing_is_refused(change: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_preset("compact", [change])


@pytest.mark.parametrize(
    ("left_out", "needs"),
    [
        ((), False),
        ((0, 1, 2, 7), True),  # the encoder is seen through in latents
        ((0, 1, 2, 4, 7), True),  # and copied in looks
        ((0, 1, 2, 6, 7), True),  # or there is a second look that nothing trains
        ((0, 1, 2, 3, 4, 6, 7), True),
    ],
)
def test_what_would_look_through_random_weights_needs_a_start(left_out: tuple[int, ...], needs: bool) -> None:
    preset = load_preset("compact", [f"phase.{number}=off" for number in left_out])
    assert preset.needs_start() == needs


def test_glimpses_alone_need_the_anchor_that_writes_them_down() -> None:
    model = "[model]\nunroll_hidden = 8\nglimpse_hidden = 8\n"
    assert parse_preset("glimpses", model + GLIMPSES_PHASE).needs_start()
    assert parse_preset("glimpses", model + SCENES_PHASE + GLIMPSES_PHASE).needs_start()
    assert not parse_preset("glimpses", model + JOINT_PHASE + GLIMPSES_PHASE).needs_start()


def test_heads_do_not_learn_to_read_an_encoder_that_has_learned_nothing() -> None:
    frozen = SCENES_PHASE + "frozen_encoder = true\n"
    assert parse_preset("frozen", frozen).needs_start()
    assert parse_preset("frozen", frozen + frozen).needs_start()
    assert not parse_preset("frozen", JOINT_PHASE + frozen).needs_start()


def test_laws_alone_are_learned_of_an_unroll_that_is_trained_already() -> None:
    laws = "[model]\nunroll_hidden = 8\nlaws = 8\n" + LAWS_PHASE + "episodes = 2"
    assert parse_preset("laws", laws).needs_start()
    head, law = laws.split("[[phase]]")
    assert not parse_preset("both", f"{head}{TURNS}[[phase]]{law}").needs_start()
