"""The rooms, and who may import whom; pyproject.toml holds the contracts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "onnx",
    "scipy",
    "pandas",
    "h5py",
    "matplotlib",
    "pygame",
    "stable_worldmodel",
)
LIGHT_ROOMS = (
    "pushjepa.cli",
    "pushjepa.data",
    "pushjepa.data.export",
    "pushjepa.evaluation",
    "pushjepa.physics",
    "pushjepa.planning.seats",
    "pushjepa.pusht.collect",
    "pushjepa.pusht.oracle",
    "pushjepa.relay.env",
    "pushjepa.relay.opponents",
    "pushjepa.runtime",
    "pushjepa.runtime.onnx_backend",
    "pushjepa.server",
)


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)


def test_contracts_hold() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), is_debug_mode=False, cache_dir=None) == 0


def test_rooms_load_without_the_extras() -> None:
    """In a fresh interpreter in which the packages of the extras cannot be imported, as in the base install."""
    done = run_python(f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))\nimport {', '.join(LIGHT_ROOMS)}")
    assert done.returncode == 0, done.stderr


def test_rooms_leave_installed_extras_alone() -> None:
    """Nor do they load them where they are there: playing starts in seconds."""
    done = run_python(
        f"import sys, {', '.join(LIGHT_ROOMS)}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_package_data_lies_in_the_package() -> None:
    from importlib import resources

    assert (resources.files("pushjepa.server") / "static" / "index.html").is_file()
    assert (resources.files("pushjepa.runtime") / "models" / "compact" / "config.json").is_file()
