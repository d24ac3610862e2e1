"""Episodes: simulating them, keeping them, cutting training windows from them, and writing them out."""

from pushjepa.data.experience import Experience, branch
from pushjepa.data.generate import generate, make_episode, make_recipe
from pushjepa.data.regimes import REGIMES, Episode, simulate_episode
from pushjepa.data.scenes import random_scenes
from pushjepa.data.store import Episodes, EpisodeStore, EpisodeWriter, Recipe
from pushjepa.data.windows import (
    MOVED,
    WindowBatch,
    Windows,
    draw_states,
    draw_windows,
    make_scenes,
    mirror_window,
)

__all__ = [
    "MOVED",
    "REGIMES",
    "Episode",
    "EpisodeStore",
    "EpisodeWriter",
    "Episodes",
    "Experience",
    "Recipe",
    "WindowBatch",
    "Windows",
    "branch",
    "draw_states",
    "draw_windows",
    "generate",
    "make_episode",
    "make_recipe",
    "make_scenes",
    "mirror_window",
    "random_scenes",
    "simulate_episode",
]
