"""The command line: every command answers, every documented command exists, bad input is one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

import pushjepa

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
Command = Callable[..., tuple[int, str, str]]


def documented_commands() -> list[tuple[str, ...]]:
    """Every ``pushjepa ...`` in a shell block of the documents, as its words."""
    found: list[tuple[str, ...]] = []
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:sh|bash)\n(.*?)```", document.read_text(), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [tuple(shlex.split(line, comments=True)) for line in lines if line.startswith("pushjepa ")]
    return sorted(set(found))


def documented_targets() -> set[str]:
    """Every target of ``make TARGET`` in a shell block of the documents."""
    blocks = "\n".join("".join(re.findall(r"```(?:sh|bash)\n(.*?)```", d.read_text(), re.DOTALL)) for d in DOCUMENTS)
    return set(re.findall(r"^make (\w+)", blocks, re.MULTILINE))


def one_line(text: str) -> bool:
    return text.startswith("pushjepa: ") and text.count("\n") == 1 and "Traceback" not in text


def forget_modules(monkeypatch: pytest.MonkeyPatch, *prefixes: str) -> None:
    """As if nothing under these names had been imported, until the test ends.

    Their packages must forget them too: an import during the test would leave its own copy there, and what looks a
    module up by its path afterwards (as ``monkeypatch.setattr`` with a string does) would find another one than
    ``sys.modules`` holds.
    """
    for name in [name for name in sys.modules if name.startswith(prefixes)]:
        parent, _, child = name.rpartition(".")
        monkeypatch.delattr(sys.modules[parent], child, raising=False)
    for name in [name for name in sys.modules if name.startswith(prefixes)]:
        monkeypatch.delitem(sys.modules, name)


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"{pushjepa.__version__}\n", "")


def test_bare_command_shows_the_commands(command: Command) -> None:
    code, out, _ = command()
    assert code == 0
    names = ("play", "generate", "selfplay", "train", "advise", "match", "calibrate", "evaluate", "bench", "export")
    for name in (*names, "pusht", "adapt"):
        assert name in out


def test_documents_name_commands() -> None:
    assert {words[1] for words in documented_commands()} >= {"play", "generate", "train", "match", "calibrate", "bench"}
    assert documented_targets() >= {"play", "test", "lint"}


@pytest.mark.parametrize("words", documented_commands(), ids=" ".join)
def test_documented_command_exists(words: tuple[str, ...], command: Command) -> None:
    """Its options are real ones: --help names each of them."""
    names = [word for word in words[1:3] if not word.startswith("-")]
    code, out, err = command(*names, "--help")
    assert code == 0, err
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", out), f"{option} is not an option of {' '.join(names)}"


@pytest.mark.parametrize("target", sorted(documented_targets()))
def test_documented_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "nonsense"),
        (["match", "--nonsense"], "--nonsense"),
        (["match", "--pairs", "many"], "--pairs"),
        (["generate", "--stage", "moon", "--out", "{tmp}/e"], "unknown stage 'moon'"),
        (["generate", "--steps", "7", "--out", "{tmp}/e"], "multiple of 5"),
        (["generate", "--visited", "{tmp}/none.npz", "--out", "{tmp}/e"], "make some with pushjepa selfplay"),
        (["generate", "--visited", "{tmp}/m.npz", "--acting", "step", "--out", "{tmp}/e"], "leave --acting out"),
        (["selfplay", "--stage", "moon", "--out", "{tmp}/m.npz"], "unknown stage 'moon'"),
        (["selfplay", "--model", "{tmp}/none", "--out", "{tmp}/m.npz"], "no checkpoint folder"),
        (["advise", "--experience", "{tmp}/none.npz", "--out", "{tmp}/a"], "make some with pushjepa selfplay"),
        (["train", "--preset", "huge", "--out", "{tmp}/r"], "unknown preset 'huge'"),
        (["train", "--preset", "compact", "--data", "{tmp}/none", "--out", "{tmp}/r"], "none"),
        (["train", "--resume", "--out", "{tmp}/r"], "holds no run"),
        (["match", "--p1", "random", "--p2", "nobody", "--pairs", "1"], "unknown player 'nobody'"),
        (["match", "--p1", "random", "--p2", "no_such_module:make", "--pairs", "1"], "no_such_module"),
        (["match", "--p1", "random", "--p2", "passive", "--stage", "moon", "--pairs", "1"], "unknown stage 'moon'"),
        (["match", "--p1", "jepa", "--p2", "passive", "--model", "{tmp}", "--pairs", "1"], "config.json is missing"),
        (["calibrate", "--source", "dreams"], "dreams"),
        (["calibrate", "--model", "{tmp}/none"], "no checkpoint folder"),
        (["evaluate", "relay", "--against", "nobody", "--out", "{tmp}/r"], "unknown player 'nobody'"),
        (["evaluate", "relay", "--stage", "moon", "--out", "{tmp}/r"], "unknown stage 'moon'"),
        (["evaluate", "relay", "--model", "{tmp}/none", "--out", "{tmp}/r"], "no checkpoint folder"),
        (["pusht", "collect", "--episodes", "0", "--out", "{tmp}/p"], "--episodes"),
        (["pusht", "train", "--data", "{tmp}/none", "--out", "{tmp}/p"], "holds no Push-T trajectories"),
        (["pusht", "eval", "--data", "{tmp}/none.h5"], "no such file"),
        (["pusht", "plan", "--data", "{tmp}/none.h5"], "no such file"),
        (["pusht", "plan", "--cost", "beauty"], "unknown cost 'beauty'; choose one of latent, end, state"),
        (["pusht", "mechanisms", "--model", "{tmp}"], "is no checkpoint folder"),
        (["adapt", "eval", "chess"], "unknown task 'chess'; choose game or pusht"),
        (["adapt", "eval", "game", "--shift", "moon"], "unknown shift 'moon'"),
        (["adapt", "eval", "game", "--condition", "asleep"], "unknown condition 'asleep'"),
        (["adapt", "eval", "game", "--learn", "codebook"], "the option learn means nothing to game"),
        (["adapt", "eval", "game", "--memory", "x"], "begin with; ask for that too"),
        (["adapt", "eval", "game", "--forgetting"], "the option forgetting means nothing to game"),
        (["adapt", "eval", "pusht", "--pairs", "100"], "the option pairs means nothing to pusht"),
        (["adapt", "calibrate", "game", "--episodes", "3"], "the option episodes means nothing to game"),
        (["adapt", "calibrate", "pusht", "--pairs", "3"], "means nothing to pusht; see pushjepa adapt calibrate"),
        (
            ["adapt", "film", "--shift", "mud", "--task", "game", "--out", "a.gif", "--receding", "2"],
            "the option receding means nothing to game; see pushjepa adapt film",
        ),
        (["adapt", "eval", "pusht", "--no-infer"], "name the weights to learn with --learn"),
        (["adapt", "eval", "pusht", "--data", "{tmp}/none.h5"], "no such file"),
        (["adapt", "remember", "--shift", "moon", "--name", "x"], "unknown shift 'moon'"),
        (["play", "--model", "{tmp}/none", "--no-browser"], "no checkpoint folder"),
        (["export", "episodes", "--data", "{tmp}/none", "--out", "{tmp}/e.h5"], "none"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], says: str, tmp_path: Path, command: Command) -> None:
    code, out, err = command(*(word.format(tmp=tmp_path) for word in arguments))
    assert (code, out) == (2, "")
    assert one_line(err), err
    assert says in err


def test_training_without_torch_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_modules(monkeypatch, "pushjepa.training", "pushjepa.nets")
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = command("train")
    assert code == 2
    assert one_line(err), err
    assert "tools/setup.sh full" in err


def test_interrupt_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pushjepa.data.generate", interrupted)
    code, _, err = command("generate", "--out", str(tmp_path))
    assert code == 130
    assert err.endswith("pushjepa: interrupted\n")


def test_generate_is_resumable_and_exports(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    made = ["generate", "--episodes", "3", "--steps", "10", "--stage", "open", "--workers", "1", "--out"]
    store = str(tmp_path / "store")
    assert command(*made, store)[0] == 0
    first = {path.name: path.read_bytes() for path in Path(store).iterdir()}
    assert command(*made, store)[0] == 0
    assert {path.name: path.read_bytes() for path in Path(store).iterdir()} == first
    code, _, err = command("export", "episodes", "--data", store, "--out", str(tmp_path / "e.h5"), "--size", "32")
    assert code == 0, err
    assert (tmp_path / "e.h5").stat().st_size > 0


def test_match_prints_and_writes_its_figures(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "match.json"
    code, out, err = command(
        *("match", "--p1", "chase_t", "--p2", "passive", "--stage", "open", "--stage", "gate"),
        *("--pairs", "1", "--workers", "1", "--seed", "5", "--json", str(file)),
    )
    assert code == 0, err
    assert "chase_t against passive" in out
    results = json.loads(file.read_text())
    assert results["version"] == pushjepa.__version__
    assert results["seed"] == 5
    assert [(row["stage"], row["pairs"], row["n"]) for row in results["rows"]] == [("open", 1, 2), ("gate", 1, 2)]


def test_match_takes_a_player_from_the_working_directory(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_players.py").write_text("from pushjepa.relay.opponents import PassivePolicy as lazy\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, out, err = command("match", "--p1", "passive", "--p2", "my_players:lazy", "--pairs", "1", "--workers", "1")
    assert code == 0, err
    assert "passive against my_players:lazy" in out


def test_evaluate_writes_a_report(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["evaluate", "relay", "--player", "chase_t", "--against", "passive", "--stage", "gate", "--pairs", "1"]
    words += ["--workers", "1", "--out", str(tmp_path / "report"), "--json", str(tmp_path / "copy.json")]
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = command(*words)
    assert code == 0, err
    assert "no figures: they need matplotlib" in err.replace("\n", " ")
    assert "| `passive` | gate | 1 |" in out.replace("\n", " ")
    report = (tmp_path / "report" / "report.json").read_text()
    assert [(row["p1"], row["p2"], row["n"]) for row in json.loads(report)["rows"]] == [("chase_t", "passive", 2)]
    assert (tmp_path / "copy.json").read_text() == report
    assert "# Report on `chase_t`" in (tmp_path / "report" / "report.md").read_text()


def test_collect_tells_how_often_the_expert_solved_its_task(command: Command, tmp_path: Path) -> None:
    words = ["pusht", "collect", "--episodes", "2", "--limit", "120", "--no-frames", "--workers", "1"]
    code, out, err = command(*words, "--out", str(tmp_path), "--json", str(tmp_path / "expert.json"))
    assert code == 0, err
    rows = json.loads((tmp_path / "expert.json").read_text())["rows"]
    assert [(row["condition"], row["n"]) for row in rows] == [("steady", 1), ("trembling", 1)]
    assert "steady: 1 trajectories" in out
    assert not (tmp_path / "pusht.h5").exists()


def test_push_t_without_its_extra_says_what_to_install(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_modules(monkeypatch, "pushjepa.pusht", "pushjepa.evaluation.pusht")
    monkeypatch.setitem(sys.modules, "stable_worldmodel", None)
    code, _, err = command("pusht", "eval")
    assert code == 2
    assert one_line(err), err
    assert "install the extra `pusht`: tools/setup.sh full" in err


def test_play_serves_until_interrupted(tmp_path: Path) -> None:
    """The real command in a process of its own: it answers, says where it is, and leaves at Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "pushjepa", "play", "--port", str(port), "--no-browser", "--store", tmp_path / "m.db"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        health = wait_for_health(port, process)
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert health["version"] == pushjepa.__version__
    assert "jepa" in health["opponents"]
    assert "Traceback" not in err


def wait_for_health(port: int, process: subprocess.Popen[str]) -> dict[str, object]:
    deadline = time.monotonic() + 120  # generous: other tests share the machine
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not answer")


def test_play_says_that_its_port_is_taken(command: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = command("play", "--port", port, "--no-browser", "--store", str(tmp_path / "m.db"))
    assert code == 2
    assert one_line(err), err
    assert port in err


def test_plans_and_mechanisms_are_measured_written_and_drawn(command, collection, tmp_path):
    pytest.importorskip("stable_worldmodel", reason="stable-worldmodel is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    data = ["--data", str(collection / "pusht.h5"), "--json", str(tmp_path / "x.json"), "--figures", str(tmp_path)]
    few = ["--episodes", "2", "--offset", "10", "--candidates", "6", "--iterations", "2"]
    code, out, err = command("pusht", "plan", *data, *few, "--prior")
    assert code == 0, err
    row = json.loads((tmp_path / "x.json").read_text())["rows"][0]
    assert f"random / plan: {row['ratio']:.1f}" in out
    assert row["prior"] is True
    assert (tmp_path / "pusht_latent_error.png").stat().st_size > 5000
    code, out, err = command("pusht", "mechanisms", *data, "--episodes", "1")
    assert code == 0, err
    assert "slots keep their order in" in out
    assert len(json.loads((tmp_path / "x.json").read_text())["rows"]) == 2 * 16
    assert (tmp_path / "pusht_mechanisms.png").stat().st_size > 5000


def test_what_is_learned_of_other_laws_is_kept_under_a_name_and_begun_with(command: Command, tmp_path: Path) -> None:
    kept = ["--memories", str(tmp_path / "memories")]
    code, out, err = command("adapt", "remember", "--shift", "slow-agents", "--name", "slow", "--seed", "1", *kept)
    assert code == 0, err
    found = re.search(r"agent_speed: ([\d.]+)", out)
    assert found is not None
    assert 180.0 < float(found.group(1)) < 280.0, "an agent goes at 220 px/s instead of 400"
    small = ["--candidates", "8", "--iterations", "1", "--pairs", "1", "--workers", "1", "--opponent", "random", *kept]
    report = tmp_path / "report"
    words = ["adapt", "eval", "game", "--shift", "slow-agents", *small]
    words += ["--condition", "frozen", "--condition", "adapted_across"]
    code, out, err = command(*words, "--memory", "slow", "--out", str(report))
    assert code == 0, err
    rows = json.loads((report / "results.json").read_text())["rows"]
    surprise = {(row["shift"], row["condition"]): row["surprise_by_turn"] for row in rows}
    assert list(surprise) == [("none", "frozen"), ("slow-agents", "frozen"), ("slow-agents", "adapted_across")]
    assert surprise["slow-agents", "adapted_across"][0] < 0.5 * surprise["slow-agents", "frozen"][0], (
        "it knew from the start"
    )
    assert "# Under other laws of physics" in (report / "report.md").read_text()
    code, _, err = command(*words, "--memory", "fast")
    assert code == 2
    assert "it holds slow" in err
