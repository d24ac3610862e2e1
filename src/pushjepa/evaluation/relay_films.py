"""A film of one match under other laws: the same start, frozen beside adapted."""

from __future__ import annotations

from dataclasses import replace

from pushjepa.adaptation.relay import AdaptivePlanner
from pushjepa.evaluation.films import Frame, Panel, Strip, compose
from pushjepa.evaluation.relay_shifts import Series, play_match
from pushjepa.physics.constants import TURN_STEPS
from pushjepa.relay import SIDES, Match, Policy
from pushjepa.relay.scene import Scene


def film_match(series: Series, pair: int = 0, game: int = 0, size: int = 320) -> list[Frame]:
    """Play one match twice, with a frozen and with an adapting player, and draw every step of both side by side.

    Args:
        series: laws and players; its condition does not matter.
        pair: number of the start position.
        game: 0 or 1, the player's seat.
        size: of a panel, px.
    """
    panels = []
    for condition in ("frozen", "adapted"):
        match, player = play_match(replace(series, condition=condition), pair, game)
        panels.append(panel_of(match, player, f"{series.player}, {condition}: {series.shift}", game, size))
    return compose(panels, size)


def panel_of(match: Match, player: Policy, title: str, game: int, size: int) -> Panel:
    """A match that is over as a panel; the player in seat ``game`` has a mind, or there is no strip."""
    result, side = match.result(), SIDES[game]
    won = {side: "won", None: "drawn"}.get(result.winner, "lost")
    verdict = f"{won}, net progress {result.net_progress(side):+.0f} px"
    strip = Strip.of(player.mind.events, TURN_STEPS) if isinstance(player, AdaptivePlanner) else None
    return Panel(title, draw_steps(match, size), verdict, strip)


def draw_steps(match: Match, size: int) -> list[Frame]:
    """Every env step of a match as a frame (size, size, 3), the start first; it is played again for that."""
    again = Match(match.setup)
    frames = [again.frame(size)]
    for block in match.blocks:
        laws = again.physics
        scene = Scene(again.stage, size, laws.block_shape, laws.block_scale)
        frames += list(scene.draw_many(again.play(block)))
    return frames
