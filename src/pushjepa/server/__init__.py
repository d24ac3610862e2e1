"""Playing in the browser: the WebSocket protocol, the store of matches and the page. Plans with NumPy, never torch."""

from pushjepa.server.app import create_app, health, serve
from pushjepa.server.messages import PROTOCOL_VERSION
from pushjepa.server.rooms import Limits
from pushjepa.server.roster import OFFERS, Engine, Offer, Roster, default_roster
from pushjepa.server.session import HUMAN, Seats
from pushjepa.server.store import MatchStore, StoredMatch

__all__ = [
    "HUMAN",
    "OFFERS",
    "PROTOCOL_VERSION",
    "Engine",
    "Limits",
    "MatchStore",
    "Offer",
    "Roster",
    "Seats",
    "StoredMatch",
    "create_app",
    "default_roster",
    "health",
    "serve",
]
