"""The loop around a world model: what is known when, which action belongs to which frame, the way there and back."""

from __future__ import annotations

import numpy as np
import pytest

from pushjepa.adaptation import Options, Seen, SystemM, live
from pushjepa.adaptation.system_m import Told

NONE, SLOW, FAST = [0.0, 0.0, 0.0], [-0.7, 0.0, 0.0], [0.6, 0.0, 0.0]


@pytest.fixture
def make(toys):
    """A mind over a toy of its own, or over a given one."""

    def make(toy=None, learner=None, remembered=None, **options):
        return SystemM(toy or toys.Toy(), toys.usual, toys.space, Options(seconds=60.0, **options), learner, remembered)

    return make


class Recorder:
    """A learner that keeps what it is given, and gives what it was told to."""

    def __init__(self, answer=None):
        self.calls, self.answer = [], answer

    def learn(self, model, transitions, conditions, seconds):
        self.calls.append((model, list(transitions), conditions, seconds))
        return self.answer


def play(mind, episode, *laws):
    """Turns under each of some laws, given with how many turns they hold."""
    turns = [one for some, count in laws for one in [some] * count]
    return live(mind, episode.moments(turns), episode.see)


def acts(events):
    return [event.act for event in events]


def test_a_prediction_is_put_down_before_the_frame_is_seen(toys, make):
    toy = toys.Toy()
    mind, episode = make(toy, adapt=False), toys.Episode(log=toy.log)
    play(mind, episode, (FAST, 6))
    assert [entry[0] for entry in toy.log] == ["rollout", "see", "decode"] * 6


def test_nothing_that_is_yet_to_be_seen_is_in_what_a_prediction_is_made_from(toys, make):
    toy = toys.Toy()
    mind, episode = make(toy), toys.Episode(log=toy.log)
    events = play(mind, episode, (NONE, 3), (FAST, 9))
    assert "infer" in acts(events)
    turn = 0
    for kind, *asked in toy.log:
        if kind == "rollout":
            context, candidates, actors, told = asked
            known = [latent.tobytes() for latent in episode.latents[: turn + 1]]
            if (
                context.latents[-1].tobytes() != known[-1]
            ):  # what the model as given would have foreseen, for comparison
                assert told is None
                assert context.latents[-1].tobytes() == known[-2]
                assert candidates.tobytes() == episode.blocks[turn - 1].tobytes()
                continue
            assert all(latent.tobytes() in known for latent in context.latents)
            assert candidates.tobytes() == episode.blocks[turn].tobytes()
            assert actors.tolist() == [0]
        elif kind == "see":
            turn += 1
        elif kind == "foresee":  # what is learned from begins at a boundary before the one just seen
            begun = [latent.tobytes() for latent in episode.latents[:turn]]
            assert all(latent.tobytes() in begun for latent in asked[0])
    assert turn == 12


def test_a_block_leads_from_its_boundary_to_the_next(toys, make):
    toy = toys.Toy()
    play(make(toy, adapt=False), episode := toys.Episode(), (NONE, 5))
    contexts = [entry[1] for entry in toy.log if entry[0] == "rollout"]
    assert [context.actors.tolist() for context in contexts] == [[-1, -1], [-1, 0], [0, 0], [0, 0], [0, 0]]
    assert not contexts[0].blocks.any()
    assert (contexts[4].blocks == np.stack(episode.blocks[2:4])).all()
    assert (contexts[4].latents == np.stack(episode.latents[2:5])).all()


def test_what_is_learned_from_is_aligned(toys, make):
    learner, episode = Recorder(), toys.Episode()
    mind = make(learner=learner, window=4, gain=1e9)
    episode.missing = np.array([0.0, 30.0, 0.0, 30.0, 0.0])
    events = play(mind, episode, (NONE, 4))
    last = next(event.turn for event in events if event.alarm)
    assert last == 2
    model, seen, conditions, seconds = learner.calls[0]
    assert model is mind.model
    assert len(seen) == last
    assert conditions.tolist() == NONE
    assert 0.0 < seconds <= 60.0
    for turn, one in enumerate(seen):
        assert (one.latents == episode.latents[turn]).all()
        assert (one.block == episode.blocks[turn]).all()
        assert (one.earlier == (episode.blocks[turn - 1] if turn else 0.0)).all()
        assert one.seen == pytest.approx(episode.latents[turn + 1][0] * 100, abs=1e-4)
        assert (one.after == episode.latents[turn + 1]).all()
        assert (one.context.latents[-1] == one.latents).all()


def test_the_surprise_is_that_of_the_belief_before(toys, make):
    """What is inferred at a boundary does not make the prediction for it any better."""
    frozen, adapting = make(adapt=False), make()
    seen = [play(mind, toys.Episode(), (FAST, 8)) for mind in (frozen, adapting)]
    first = acts(seen[1]).index("infer")
    for one, other in zip(*(events[: first + 1] for events in seen), strict=True):
        assert one.predicted.tobytes() == other.predicted.tobytes()
        assert one.surprise.px == other.surprise.px > 2.0
    assert seen[1][first + 1].surprise.px < 0.2 * seen[0][first + 1].surprise.px


@pytest.mark.parametrize("options", [{"adapt": False}, {"steps": 0}], ids=str)
def test_a_mind_that_does_not_adapt_foresees_as_its_model_does(toys, make, options):
    toy, mind = toys.Toy(), make(**options)
    episode = toys.Episode()
    for moment in episode.moments([FAST] * 8):
        bare = toy.rollout(moment.context, moment.block[None, None], np.array([0]))[0, 0]
        mind.anticipate(moment)
        event = mind.modulate(episode.see(moment))
        assert event.predicted.tobytes() == toy.decode(bare).tobytes()
        assert event.conditions.tobytes() == np.zeros(3).tobytes()
    assert any(event.alarm for event in mind.events)
    assert acts(mind.events) == [""] * 8
    assert (mind.state, mind.told) == ("standard", None)
    assert all(entry[4] is None for entry in mind.model.log if entry[0] == "rollout")


def test_an_alarm_leads_to_laws_that_are_then_believed(toys, make):
    mind, episode = make(), toys.Episode()
    events = play(mind, episode, (NONE, 4), (SLOW, 8))
    alarm = next(event.turn for event in events if event.alarm)
    assert 5 <= alarm <= 8
    assert acts(events)[: alarm - 1] == [""] * (alarm - 1)
    assert events[alarm - 1].act == "infer"
    assert events[alarm - 1].seconds > 0.0
    assert mind.conditions == pytest.approx(SLOW, abs=0.1)
    assert all(event.surprise.px < 1.5 for event in events[-3:])
    assert mind.model.log[-2][0] != "infer"
    assert mind.told.dtype == np.float32


def test_laws_that_held_before_the_change_are_not_asked_to_explain_it(toys, make):
    toy = toys.Toy()
    mind, episode = make(toy, window=8), toys.Episode()
    events = play(mind, episode, (NONE, 7), (SLOW, 1), (SLOW, 6))
    alarm = next(event.turn for event in events if event.alarm)
    asked = next(entry for entry in toy.log if entry[0] == "foresee")
    assert len(asked[1]) == alarm - 7


def test_other_laws_again_are_followed(toys, make):
    mind = make()
    events = play(mind, toys.Episode(), (SLOW, 8), (FAST, 10))
    assert mind.conditions == pytest.approx(FAST, abs=0.1)
    assert events[-1].surprise.px < 1.5


@pytest.mark.parametrize("window", [2, 8])
def test_standard_laws_again_restore(toys, make, window):
    mind, episode = make(window=window), toys.Episode()
    events = play(mind, episode, (NONE, 2), (FAST, 10), (NONE, 6))
    assert "restore" in acts(events)
    back = acts(events).index("restore") + 1
    assert 13 <= back <= 15
    assert events[back - 1].conditions.tobytes() == np.zeros(3).tobytes()
    assert mind.state == "standard"
    assert acts(events)[back:] == [""] * (len(events) - back)


def test_a_bad_adaptation_is_rolled_back(toys, make):
    """A fluke that looks like other laws: the next boundary shows that they do not hold."""
    mind, episode = make(refine=1), toys.Episode()
    events = play(mind, episode, (FAST, 2))
    assert acts(events)[-1] == "infer"
    after = play(mind, episode, (NONE, 1))
    assert acts(after) == ["rollback"]
    assert after[0].conditions.tobytes() == np.zeros(3).tobytes()
    assert after[0].drift > 0.0
    assert mind.drift.value == 0.0


def test_a_good_adaptation_is_not(toys, make):
    assert "rollback" not in acts(play(make(), toys.Episode(), (FAST, 20)))


def test_restore_gives_back_the_very_model(toys, make):
    toy = toys.Toy()
    mind = make(toy, learner=Recorder((toys.Toy(), 3)), remembered=np.array(FAST))
    episode = toys.Episode()
    episode.missing = np.array([0.0, 40.0, 0.0, 40.0, 0.0])
    play(mind, episode, (FAST, 4))
    assert mind.state == "adapted"
    mind.restore()
    assert mind.model is toy
    assert mind.conditions.tobytes() == np.zeros(3).tobytes()
    assert (mind.state, len(mind.events), mind.drift.value) == ("standard", 4, 0.0)


def test_a_reset_begins_with_what_is_remembered(toys, make):
    mind = make(remembered=np.array(FAST))
    assert mind.conditions.tolist() == FAST
    play(mind, toys.Episode(), (NONE, 8))
    assert mind.state == "standard"
    mind.reset()
    assert mind.conditions.tolist() == FAST
    assert (mind.state, mind.events) == ("adapted", [])
    events = play(mind, toys.Episode(), (FAST, 4))
    assert max(event.surprise.px for event in events) < 1.0


def test_a_memory_that_is_plainly_wrong_is_given_up_at_once(toys, make):
    mind = make(remembered=np.array(FAST))
    assert acts(play(mind, toys.Episode(), (NONE, 1))) == ["restore"]
    nearly = [0.05, 0.0, 0.0]  # 1 or 2 px a turn
    mind = make(remembered=np.array(nearly))
    assert acts(play(mind, toys.Episode(), (NONE, 3)))[0] != "restore"


def test_what_is_remembered_is_left_alone(toys, make):
    remembered = np.array(FAST)
    play(make(remembered=remembered), toys.Episode(), (SLOW, 8))
    assert remembered.tolist() == FAST


def test_who_only_notices_does_not_begin_with_what_is_remembered(toys, make):
    mind = make(remembered=np.array(FAST), adapt=False)
    assert mind.told is None
    mind = make(remembered=np.array(FAST))
    mind.set_adapting(False)
    assert mind.told is None
    mind.reset()
    assert mind.told is None


def test_who_stops_adapting_gives_up_what_was_adapted(toys, make):
    mind = make()
    play(mind, toys.Episode(), (FAST, 6))
    assert mind.state == "adapted"
    mind.set_adapting(True)
    assert mind.state == "adapted"
    mind.set_adapting(False)
    assert mind.state == "standard"
    assert len(mind.events) == 6


def test_an_alarm_begins_anew_whether_or_not_anything_is_adapted(toys, make):
    for adapt in (True, False):
        mind = make(adapt=adapt, gain=1e9)
        events = play(mind, toys.Episode(), (FAST, 9))
        alarms = [event.turn for event in events if event.alarm]
        assert len(alarms) >= 2
        assert alarms[1] - alarms[0] >= 2
        assert all(event.drift >= toys.usual.threshold for event in events if event.alarm)


def test_weights_are_learned_where_laws_do_not_explain_what_is_seen(toys, make):
    better = toys.Toy(error=[0.0, 40.0, 0.0, 40.0, 0.0])
    mind, episode = make(learner=Recorder((better, 5)), gain=1e9), toys.Episode()
    episode.missing = better.error
    events = play(mind, episode, (NONE, 6))
    learned = acts(events).index("learn")
    assert events[learned].steps == 5
    assert mind.model is better
    assert mind.state == "adapted"
    assert all(event.surprise.px < 0.5 for event in events[learned + 1 :])
    assert Told(mind).rollout(episode.context(), np.zeros((1, 1, 5, 1, 2)), np.array([0]))[0, 0, 0, 1] > 0.4


def test_learned_weights_that_do_not_help_are_rolled_back(toys, make):
    """The unroll, which laws are inferred with, is the same in both: only a whole rollout tells them apart."""
    toy, worse = toys.Toy(), toys.Toy(error=[0.0, -40.0, 0.0, -40.0, 0.0])
    mind, episode = make(toy, learner=Recorder((worse, 5)), gain=1e9), toys.Episode()
    episode.missing = np.array([0.0, 40.0, 0.0, 40.0, 0.0])
    events = play(mind, episode, (NONE, 2))
    assert acts(events)[-1] == "learn"
    assert acts(play(mind, episode, (NONE, 1))) == ["rollback"]
    assert mind.model is toy


def test_learned_weights_are_given_up_when_the_given_model_is_right_again(toys, make):
    toy, other = toys.Toy(), toys.Toy(error=[0.0, 40.0, 0.0, 40.0, 0.0])
    mind, episode = make(toy, learner=Recorder((other, 5)), gain=1e9, doubt=20.0), toys.Episode()
    episode.missing = other.error
    play(mind, episode, (NONE, 12))
    assert mind.model is other
    episode.missing = np.zeros(5)
    assert "restore" in acts(play(mind, episode, (NONE, 6)))
    assert mind.model is toy


def test_a_learner_that_finds_nothing_changes_nothing(toys, make):
    toy = toys.Toy()
    mind, episode = make(toy, learner=Recorder(), gain=1e9), toys.Episode()
    episode.missing = np.array([0.0, 40.0, 0.0, 40.0, 0.0])
    assert set(acts(play(mind, episode, (NONE, 6)))) == {""}
    assert mind.model is toy


def test_laws_are_inferred_from_no_more_than_the_window(toys, make):
    toy = toys.Toy()
    play(make(toy, window=2, refine=20), toys.Episode(), (FAST, 10))
    starts = {len({latent.tobytes() for latent in entry[1]}) for entry in toy.log if entry[0] == "foresee"}
    assert starts == {1, 2}


def test_a_planner_is_told_what_is_believed(toys, make):
    mind, episode = make(), toys.Episode()
    play(mind, episode, (FAST, 8))
    context, candidates, actors = episode.context(), np.ones((2, 1, 5, 1, 2), dtype=np.float32), np.array([0])
    believed = mind.model.rollout(context, candidates, actors, mind.told)
    assert (Told(mind).rollout(context, candidates, actors) == believed).all()
    assert (Told(mind).rollout(context, candidates, actors, np.zeros(3)) != believed).any()
    assert Told(mind).spec is mind.model.spec


def test_minds_share_nothing(toys, make):
    toy = toys.Toy()
    one, other = make(toy), make(toy)
    play(one, toys.Episode(), (FAST, 8))
    assert (other.state, other.events, other.drift.value) == ("standard", [], 0.0)


def test_the_same_play_is_lived_through_alike(toys, make):
    runs = [play(make(), toys.Episode(), (NONE, 3), (FAST, 9)) for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        assert one.conditions.tobytes() == other.conditions.tobytes()
        assert (one.act, one.drift, one.level) == (other.act, other.drift, other.level)


def test_a_frame_cannot_be_scored_without_a_prediction_or_twice(toys, make):
    mind, episode = make(), toys.Episode()
    with pytest.raises(ValueError, match="no prediction to score"):
        mind.modulate(Seen(episode.latents[0]))
    play(mind, episode, (NONE, 1))
    with pytest.raises(ValueError, match="no prediction to score"):
        mind.modulate(Seen(episode.latents[1]))


def test_a_model_of_one_world_is_refused(toys):
    toy = toys.Toy()
    toy.spec = toy.spec.__class__(**{**toy.spec.__dict__, "laws": 0})
    with pytest.raises(ValueError, match="no other laws"):
        SystemM(toy, toys.usual, toys.space)


@pytest.mark.parametrize("options", [{"window": 0}, {"steps": -1}, {"seconds": 0.0}], ids=str)
def test_options_are_checked(options):
    with pytest.raises(ValueError, match="at least 1"):
        Options(**options)
