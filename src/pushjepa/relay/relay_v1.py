"""The environment under its PettingZoo name: ``from pushjepa.relay import relay_v1; relay_v1.env()``."""

from pushjepa.relay.env import env, raw_env

__all__ = ["env", "raw_env"]
