"""System M: notice that the world has changed, find out how, and go back when it changes back.

Nothing here needs torch but :mod:`~pushjepa.adaptation.learning`, and nothing stable-worldmodel but
:mod:`~pushjepa.adaptation.pusht`.
"""

from pushjepa.adaptation.inference import LawSpace, infer_laws
from pushjepa.adaptation.records import Record, Surprise, Transition
from pushjepa.adaptation.surprise import DriftTest, Usual
from pushjepa.adaptation.system_m import Event, Moment, Options, Seen, SystemM, live

__all__ = [
    "DriftTest",
    "Event",
    "LawSpace",
    "Moment",
    "Options",
    "Record",
    "Seen",
    "Surprise",
    "SystemM",
    "Transition",
    "Usual",
    "infer_laws",
    "live",
]
