"""The networks: encoders, projector, action encoder, predictor, SIGReg and state head (PyTorch)."""

from pushjepa.nets.config import ModelConfig
from pushjepa.nets.model import JEPA, StateHead, encode_state
from pushjepa.nets.sigreg import SIGReg
from pushjepa.nets.unroll import SCENES

__all__ = ["JEPA", "SCENES", "ModelConfig", "SIGReg", "StateHead", "encode_state"]
