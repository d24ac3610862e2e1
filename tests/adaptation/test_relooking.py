"""A second look: when it is taken, what it is taken at, and the way back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pushjepa.adaptation import Moment, Options, Seen, SystemM, live
from pushjepa.adaptation.relooking import BlockWatch, Relooking, given_of, seen_by
from pushjepa.adaptation.system_m import Told

NONE, OTHER, FAST = [0.0, 0.0, 0.0], [0.0, 0.4, 0.0], [0.6, 0.0, 0.0]
PLAIN = [0.0, 0.8, 0.0]  # a block that looks so different that a frame is enough to tell


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


def test_a_block_that_plainly_looks_other_is_believed_at_sight(make):
    shown = make()
    events = shown.play(NONE, 4) + shown.play(PLAIN, 4)
    assert acts(events) == ["", "", "", "", "look", "", "", ""]
    assert not events[4].alarm
    assert events[4].surprise.px > 10.0, "what was foreseen before is scored as it was foreseen"
    assert shown.mind.conditions == pytest.approx(PLAIN, abs=0.1)
    assert max(event.surprise.px for event in events[5:]) < 2.0
    assert len(shown.mind.window) == 3, "what was seen before the change is not asked to explain it"


def test_what_the_first_frame_shows_is_believed_before_anything_is_foreseen(make):
    shown = make()
    shown.frames = [shown.frame_of(PLAIN)]
    shown.mind.begin(shown.frames[0])
    assert shown.mind.looks_again
    events = shown.play(PLAIN, 3)
    assert acts(events) == ["", "", ""]
    assert [event.opening for event in events] == ["look", "", ""]
    assert max(event.surprise.px for event in events) < 2.0
    assert min(event.unadapted_px for event in events) > 10.0
    shown.mind.reset()
    assert not shown.mind.looks_again


def test_the_known_block_at_sight_ends_the_second_look_and_nothing_else(make):
    shown = make()
    laws = [FAST[0], PLAIN[1], 0.0]
    shown.play(laws, 8)
    assert shown.mind.looks_again
    events = shown.play(FAST, 5)
    assert acts(events)[0] == "look"
    assert not shown.mind.looks_again
    assert shown.mind.conditions == pytest.approx(FAST, abs=0.1)
    assert max(event.surprise.px for event in events[1:]) < 2.0


def test_another_block_still_is_seen_too(make):
    shown = make()
    shown.play(PLAIN, 3)
    assert acts(shown.play([0.0, -0.6, 0.0], 3))[0] == "look"
    assert shown.mind.conditions == pytest.approx([0.0, -0.6, 0.0], abs=0.1)


def test_a_memory_of_a_block_that_is_not_there_is_given_up_at_sight(make):
    shown = make(remembered=np.array(PLAIN))
    assert shown.mind.looks_again
    shown.mind.begin(shown.frames[0])
    assert not shown.mind.looks_again
    assert shown.mind.state == "standard"


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
    shown.mind.begin(shown.frame_of(PLAIN))
    events = shown.play(OTHER, 8)
    assert any(event.alarm for event in events)
    assert acts(events) == [""] * 8
    assert not [entry for entry in shown.mind.model.log if entry[0] == "look"]


def test_the_known_block_again_ends_the_second_look(make):
    shown = make()
    shown.play(OTHER, 8)
    assert shown.mind.looks_again
    events = shown.play(NONE, 8)
    assert "look" in acts(events)
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


def test_frames_that_show_the_known_block_are_looked_at_as_before(make):
    """Something happens that no law explains, and the frames tell nothing of it."""
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


def test_a_mind_that_looks_again_learns_from_what_it_then_sees(make):
    shown = make()
    shown.play(NONE, 3)
    shown.play(OTHER, 8)
    assert shown.mind.looks_again
    assert shown.mind.window
    for one in shown.mind.window:
        assert one.latents.tobytes() == shown.mind.model.encode(one.frames)[-2].tobytes()
        assert one.seen == pytest.approx(one.frames[-1][0, :5, 0], abs=0.01)


def test_what_frames_show_is_known_and_not_inferred(make):
    shown = make()
    toy = shown.mind.model
    shown.play([FAST[0], PLAIN[1], 0.0], 8)
    asked = [entry[5] for entry in toy.log if entry[0] == "foresee"]
    assert asked
    assert all((one[:, 1] == np.float32(PLAIN[1])).all() for one in asked)
    assert shown.mind.conditions == pytest.approx([FAST[0], PLAIN[1], 0.0], abs=0.1)


def test_what_no_frame_shows_is_restored_and_the_look_stays(make):
    shown = make()
    both = [FAST[0], PLAIN[1], 0.0]
    shown.play(both, 8)
    assert shown.mind.conditions == pytest.approx(both, abs=0.1)
    events = shown.play(PLAIN, 6)
    assert "restore" in acts(events)
    assert "look" not in acts(events)
    assert shown.mind.looks_again
    assert shown.mind.conditions.tolist() == pytest.approx(PLAIN)
    shown.mind.restore()
    assert not shown.mind.looks_again
    assert shown.mind.conditions.tolist() == NONE


def test_what_was_learned_from_another_block_is_forgotten_at_its_sight(make, two_ways):
    shown = make()
    shown.play(FAST, 4)
    assert shown.mind.window
    given = shown.mind.model
    shown.mind.model = two_ways()  # as if weights had been learned
    shown.play([FAST[0], PLAIN[1], 0.0], 1)
    assert given_of(shown.mind.model) is given
    assert shown.mind.window == []
    assert shown.mind.drift.value == 0.0
    assert shown.mind.conditions == pytest.approx([FAST[0], PLAIN[1], 0.0], abs=0.1), "what no frame shows is kept"


def test_without_frames_what_they_would_show_is_inferred_and_rolled_back_like_the_rest(make, toys, two_ways):
    other = [0.0, 0.5, 0.0]
    mind = SystemM(two_ways(), toys.usual, toys.space, Options(seconds=60.0), remembered=np.array(FAST))
    episode = toys.Episode()
    live(mind, episode.moments([FAST] * 3 + [[FAST[0], *other[1:]]] * 6), episode.see)
    assert mind.conditions == pytest.approx([FAST[0], 0.5, 0.0], abs=0.1)
    assert not mind.looks_again


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


@pytest.fixture
def watch(two_ways, toys):
    """A watch over the toy's second number and its third, which stands for a shape; told what to be shown."""

    def watch(*told, shown=None, last=0):
        toy = two_ways()
        toy.spec = replace(toy.spec, visible=(1, 2))
        toy.look = lambda frames: (None, np.asarray(frames, dtype=np.float32))
        watching = BlockWatch(toy, toys.space, None if shown is None else np.array(shown))
        numbers = [one if isinstance(one, tuple) else (one, 0.0) for one in told]
        news = [
            watching.see(np.array([9.0, *one]), last if at == len(told) - 1 else 0) for at, one in enumerate(numbers)
        ]
        return news, watching.shown[1:].tolist()

    return watch


def test_a_frame_is_believed_where_it_plainly_differs(watch):
    assert watch(0.44) == ([False], [0.0, 0.0])
    assert watch(0.5) == ([True], [0.5, 0.0])
    assert watch((0.0, 0.6)) == ([False], [0.0, 0.0])
    assert watch((0.0, 0.7)) == ([True], [0.0, 1.0])
    assert watch(0.5, 0.0) == ([True, True], [0.0, 0.0])
    assert watch(0.5, 0.06) == ([True, False], [0.5, 0.0])
    assert watch(5.0) == ([True], [1.0, 0.0])
    assert watch(0.0, shown=[0.3, 0.8, 0.0]) == ([True], [0.0, 0.0])


def test_several_frames_are_believed_where_they_agree(watch):
    assert watch(*[0.3] * 4) == ([False] * 4, [0.0, 0.0])
    assert watch(*[0.3] * 5) == ([False] * 4 + [True], [pytest.approx(0.3), 0.0])
    assert watch(*[0.3, 0.0, 0.0] * 4)[0] == [False] * 12
    assert watch(*[0.19] * 6) == ([False] * 6, [0.0, 0.0])


def test_at_an_alarm_the_last_frames_count(watch):
    assert watch(0.0, 0.0, 0.3, 0.3, last=2) == ([False] * 3 + [True], [pytest.approx(0.3), 0.0])
    assert watch(0.0, 0.0, 0.3, 0.0, 0.3, last=3) == ([False] * 4 + [True], [pytest.approx(0.3), 0.0])
    assert watch(0.0, 0.3, 0.0, 0.0, last=3) == ([False] * 4, [0.0, 0.0])
    assert watch(0.3, last=9) == ([True], [pytest.approx(0.3), 0.0])


def test_no_size_is_believed_that_no_frame_showed(watch):
    for count in range(5, 9):
        for after in range(1, 8):
            news, (scale, _) = watch(*[0.0] * count, *[0.42] * after)
            assert scale in (0.0, pytest.approx(0.42))
            assert news.count(True) <= 1


def test_a_reading_gets_better_without_being_news(watch):
    news, (scale, _) = watch(0.6, *[0.5] * 6)
    assert news == [True] + [False] * 6
    assert scale == pytest.approx(0.5)


def test_what_lies_between_two_blocks_does_not_go_to_and_fro(watch):
    for middle in (0.46, 0.49, 0.51, 0.54):
        shapes = [(0.0, middle + 0.08 * (-1) ** turn) for turn in range(24)]
        assert watch(*shapes) == ([False] * 24, [0.0, 0.0])
        assert watch((0.0, 0.7), *shapes) == ([True] + [False] * 24, [0.0, 1.0])
    assert watch(*[0.2 + 0.03 * (-1) ** turn for turn in range(24)])[0].count(True) <= 1


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
