"""The networks: encoders, projector, action encoder, predictor, SIGReg and state head (PyTorch)."""

from pushjepa.nets.config import ModelConfig
from pushjepa.nets.model import JEPA, StateHead, encode_state
from pushjepa.nets.sigreg import SIGReg

__all__ = ["JEPA", "ModelConfig", "SIGReg", "StateHead", "encode_state"]
