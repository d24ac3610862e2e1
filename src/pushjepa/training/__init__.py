"""Training: presets, phases, and the staged recipe (Lightning)."""
