"""A second look: when it is taken, what it is taken at, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pushjepa.adaptation import Moment, Options, Seen, SystemM, live
from pushjepa.adaptation.relooking import Relooking, given_of, look_again, seen_by
from pushjepa.adaptation.system_m import Told

NONE, OTHER, FAST = [0.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.6, 0.0, 0.0]


@pytest.fixture
def two_ways(toys):
    """A toy that misreads blocks that look other, unless it looks a second time.

    A frame (1, 7, 1) holds the state, by how many px the first look misreads the block's x, and the second law.
    """

    class TwoWays(toys.Toy):
        spec = replace(toys.Toy.spec, visible=(1,))

        def encode(self, frames):
            self.log.append(("encode", frames))
            states = frames[:, 0, :5, 0] + frames[:, 0, 5:6, 0] * np.array([0, 0, 1, 0, 0], dtype=np.float32)
            return (states[:, None] / 100).astype(np.float32)

        def look(self, frames):
            self.log.append(("look", frames))
            told = np.zeros((len(frames), 3), dtype=np.float32)
            told[:, 1] = frames[:, 0, 6, 0]
            return (frames[:, 0, :5, 0][:, None] / 100).astype(np.float32), told

    return TwoWays


class Shown:
    """An episode whose frames are shown to a mind; under other looks each is misread by a draw of its own."""

    def __init__(self, toys, mind, seed=0):
        self.episode, self.mind, self.rng = toys.Episode(seed), mind, np.random.default_rng(seed)
        self.frames = [self.frame_of(NONE)]

    def frame_of(self, laws):
        misread = self.rng.choice([-1.0, 1.0]) * self.rng.uniform(30.0, 60.0) if laws[1] else 0.0
        state = self.episode.latents[-1][0] * 100
        return np.array([*state, misread, laws[1]], dtype=np.float32)[None, :, None]

    def play(self, laws, count):
        return live(self.mind, self.moments(laws, count), self.see)

    def moments(self, laws, count):
        self.laws = laws
        for moment in self.episode.moments([laws] * count):
            turn = len(self.frames) - 1
            frames = np.stack([self.frames[max(0, turn - back)] for back in (2, 1, 0)])
            context = moment.context._replace(latents=self.mind.model.encode(frames))
            yield Moment(context, moment.block, 0, frames)

    def see(self, moment):
        self.episode.see(moment)
        self.frames.append(self.frame_of(self.laws))
        return Seen(self.mind.model.encode(self.frames[-1][None])[0], self.frames[-1])


@pytest.fixture
def make(toys, two_ways):
    def make(remembered=None, model=None, **options):
        mind = SystemM(
            model or two_ways(), toys.usual, toys.space, Options(seconds=60.0, **options), remembered=remembered
        )
        return Shown(toys, mind)

    return make


def acts(events):
    return [event.act for event in events]


def test_a_block_that_is_misread_is_looked_at_again(make):
    shown = make()
    events = shown.play(NONE, 4) + shown.play(OTHER, 9)
    assert "look" in acts(events)
    at = acts(events).index("look")
    assert events[at].alarm
    assert shown.mind.looks_again
    assert shown.mind.state == "adapted"
    assert shown.mind.conditions == pytest.approx(OTHER, abs=0.1)
    after = events[at + 1 :]
    assert len(after) >= 4
    assert max(event.surprise.px for event in after) < 2.0
    assert np.mean([event.unadapted_px for event in after]) > 10.0


def test_what_the_given_model_would_have_foreseen_is_judged_by_its_own_look(make):
    shown = make()
    shown.play(OTHER, 12)
    assert shown.mind.looks_again
    before, event, turn = shown.frames[-2], shown.mind.events[-1], len(shown.frames) - 1
    misread = before[0, :5, 0] + np.array([0, 0, before[0, 5, 0], 0, 0])
    moved = shown.episode.latents[turn][0][:2] * 100  # its agent is foreseen rightly, its block to stay
    assert event.unadapted == pytest.approx([*moved, *misread[2:]], abs=0.05)


def test_laws_that_are_not_seen_leave_the_first_look(make):
    shown = make()
    events = shown.play(FAST, 12)
    assert "infer" in acts(events)
    assert "look" not in acts(events)
    assert not shown.mind.looks_again


def test_without_frames_nothing_is_looked_at_again(make, toys, two_ways):
    toy = two_ways()
    mind, episode = SystemM(toy, toys.usual, toys.space, Options(seconds=60.0)), toys.Episode()
    episode.missing = np.array([0.0, 0.0, 40.0, 40.0, 0.0])
    live(mind, episode.moments([NONE] * 8), episode.see)
    assert any(event.alarm for event in mind.events)
    assert not [entry for entry in toy.log if entry[0] == "look"]


@pytest.mark.parametrize("options", [{"adapt": False}, {"steps": 0}, {"infer": False}], ids=str)
def test_a_mind_that_infers_nothing_looks_once(make, options):
    shown = make(**options)
    events = shown.play(OTHER, 8)
    assert any(event.alarm for event in events)
    assert acts(events) == [""] * 8
    assert not [entry for entry in shown.mind.model.log if entry[0] == "look"]


def test_the_known_block_again_restores_the_first_look(make):
    shown = make()
    shown.play(OTHER, 8)
    assert shown.mind.looks_again
    events = shown.play(NONE, 8)
    assert "restore" in acts(events)
    assert not shown.mind.looks_again
    assert shown.mind.told is None


def test_what_comes_later_is_in_no_look(make, monkeypatch):
    """A frame is first looked at when it is seen: after it was foreseen, and before anything is learned from it."""
    shown = make()
    toy, see = shown.mind.model, shown.see

    def watched(moment):
        assert toy.log[-1][0] == "rollout"
        seen = see(moment)
        looked = [entry[1] for entry in toy.log[:-1] if entry[0] in ("encode", "look")]
        assert not any(frame.tobytes() == seen.frame.tobytes() for frames in looked for frame in frames)
        return seen

    monkeypatch.setattr(shown, "see", watched)
    events = shown.play(NONE, 3) + shown.play(OTHER, 8)
    assert "look" in acts(events)


def test_a_mind_that_looks_again_has_to_be_shown_frames(make):
    shown = make(remembered=np.array(OTHER))
    (moment,) = shown.moments(OTHER, 1)
    with pytest.raises(ValueError, match="shown the frames"):
        shown.mind.anticipate(moment._replace(frames=None))
    shown.mind.anticipate(moment)
    with pytest.raises(ValueError, match="shown the frame"):
        shown.mind.modulate(Seen(moment.context.latents[-1]))
    assert shown.mind.events == []


def test_a_known_block_under_other_laws_is_looked_at_as_before(make):
    shown = make()
    shown.play(OTHER, 8)
    assert shown.mind.looks_again
    events = shown.play(FAST, 8)
    assert not shown.mind.looks_again
    assert shown.mind.conditions == pytest.approx(FAST, abs=0.1)
    assert max(event.surprise.px for event in events[-3:]) < 2.0
    assert all((one.latents == shown.mind.model.encode(one.frames)[-2]).all() for one in shown.mind.window)


def test_a_second_look_that_sees_the_known_block_is_not_believed(make):
    """Something happens that no law explains: the frames show the known block, and stay looked at as before."""
    shown = make()
    shown.episode.missing = np.array([0.0, 0.0, 40.0, 40.0, 0.0])
    events = shown.play(NONE, 8)
    assert any(event.alarm for event in events)
    assert [entry for entry in shown.mind.model.log if entry[0] == "look"]
    assert "look" not in acts(events)


def test_a_memory_of_another_block_begins_with_the_second_look(make):
    shown = make(remembered=np.array(OTHER))
    assert shown.mind.looks_again
    events = shown.play(OTHER, 6)
    assert max(event.surprise.px for event in events) < 2.0
    assert not make(remembered=np.array(FAST)).mind.looks_again
    shown.mind.restore()
    assert not shown.mind.looks_again


def test_a_mind_that_looks_again_remembers_what_it_then_sees(make):
    shown = make()
    shown.play(NONE, 3)
    for _ in range(8):
        (event,) = shown.play(OTHER, 1)
        if event.act == "look":
            break
    window = shown.mind.window
    assert event.act == "look"
    assert window
    for one in window:
        assert one.latents.tobytes() == shown.mind.model.encode(one.frames)[-2].tobytes()
        assert one.seen == pytest.approx(one.frames[-1][0, :5, 0], abs=0.01)


def test_inferring_begins_with_what_the_frames_tell(make):
    shown = make()
    toy = shown.mind.model
    shown.play(OTHER, 6)
    asked = [entry for entry in toy.log if entry[0] in ("look", "foresee")]
    told = next(at for at, entry in enumerate(asked) if entry[0] == "look")
    first = next(entry for entry in asked[told:] if entry[0] == "foresee")
    assert (first[5] == np.array(OTHER, dtype=np.float32)).all()


def test_rolling_back_gives_back_the_first_look_and_what_it_saw(make):
    """Fast agents are believed in; then the block seems another one for a while, and is not."""
    shown = make(remembered=np.array(FAST), refine=1)
    events = shown.play([FAST[0], OTHER[1], 0.0], 4)
    assert "look" in acts(events)
    after = shown.play(FAST, 4)
    assert "rollback" in acts(after)
    assert not shown.mind.looks_again
    assert shown.mind.conditions.tolist() == FAST
    assert shown.mind.window
    assert all((one.latents == shown.mind.model.encode(one.frames)[-2]).all() for one in shown.mind.window)


def test_relooking_is_the_given_model_but_for_its_look(two_ways, toys):
    toy = two_ways()
    other = Relooking(toy)
    frames = np.array([1.0, 2.0, 3.0, 4.0, 0.5, 50.0, 0.25], dtype=np.float32)[None, None, :, None]
    assert (other.encode(frames) == toy.look(frames)[0]).all()
    assert not (other.encode(frames) == toy.encode(frames)).all()
    assert other.spec is toy.spec
    assert given_of(other) is given_of(toy) is toy
    with pytest.raises(ValueError, match="no second look"):
        Relooking(toys.Toy())


def test_a_transition_without_frames_is_not_looked_at_again(two_ways, toys):
    (one,) = toys.transitions(NONE, 1)
    with pytest.raises(ValueError, match="no frames"):
        seen_by(two_ways(), one)
    with pytest.raises(ValueError, match="no frames"):
        look_again(two_ways(), [one])


def test_a_block_is_told_by_the_frames_at_the_ends(two_ways, toys):
    """A context may reach back to before the block was changed."""
    old, new = (np.array([0, 0, 0, 0, 0, 0, law], dtype=np.float32)[None, :, None] for law in (0.0, 0.5))
    seen = [replace(one, frames=np.stack([old, old, old, new])) for one in toys.transitions(NONE, 3)]
    assert look_again(two_ways(), seen)[1].tolist() == [0.0, 0.5, 0.0]


def test_each_frame_is_looked_at_once(make, two_ways):
    shown = make(adapt=True, gain=1e9)
    shown.play(OTHER, 6)
    window, toy = shown.mind.window, two_ways()
    assert len(window) >= 2
    again, _ = look_again(toy, window)
    (looked,) = [entry[1] for entry in toy.log if entry[0] == "look"]
    assert len(looked) == len({frame.tobytes() for one in window for frame in one.frames}) < 4 * len(window)
    other = Relooking(toy)
    for one, wanted in zip(again, [seen_by(other, one) for one in window], strict=True):
        assert one.latents.tobytes() == wanted.latents.tobytes()
        assert one.after.tobytes() == wanted.after.tobytes()
        assert one.context.latents.tobytes() == wanted.context.latents.tobytes()
        assert one.seen == pytest.approx(wanted.seen)


def test_a_planner_encodes_as_its_mind_looks(make):
    shown = make(remembered=np.array(OTHER))
    told = Told(shown.mind)
    frame = shown.frame_of(OTHER)[None]
    assert told.encode(frame)[0, 0, 2] * 100 == pytest.approx(frame[0, 0, 2, 0], abs=0.01)
    shown.mind.restore()
    assert told.encode(frame)[0, 0, 2] * 100 == pytest.approx(frame[0, 0, 2, 0] + frame[0, 0, 5, 0], abs=0.01)


def test_of_shapes_that_are_told_the_likeliest_is_certain(toys):
    space = replace(toys.space, low=np.array([-1.0, 0, 0]), high=np.ones(3), shapes=2)
    assert space.settle(np.array([-3.0, 0.4, 0.7])).tolist() == [-1.0, 0.0, 1.0]
    assert space.settle(np.array([0.25, 0.4, 0.3])).tolist() == [0.25, 0.0, 0.0]
