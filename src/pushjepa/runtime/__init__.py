"""World models at run time: the contract, checkpoints, and the ONNX Runtime and torch backends."""

from pushjepa.runtime.contract import Context, ModelSpec, WorldModel
from pushjepa.runtime.load import load_model

__all__ = ["Context", "ModelSpec", "WorldModel", "load_model"]
