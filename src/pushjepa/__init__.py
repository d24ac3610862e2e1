"""PushJEPA: train a JEPA world model from pixels, play against it in your browser, change the physics."""

__version__ = "0.1.0"
