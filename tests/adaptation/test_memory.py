"""What was learned is kept under a name, for the model that it belongs to."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from pushjepa.adaptation.memory import Memory, list_memories

LAWS = np.array([0.1, -1 / 3, 0.0])


def memory(name="heavy-block", model="abc", **more):
    return Memory(name, model, LAWS, **more)


def test_laws_come_back_to_the_last_bit(tmp_path):
    path = memory().save(tmp_path / "made" / "on-the-way")
    assert path.name == "heavy-block.json"
    found = Memory.load(path.parent, "heavy-block", "abc")
    assert (found.name, found.model, found.weights()) == ("heavy-block", "abc", None)
    assert found.conditions.tobytes() == LAWS.tobytes()


def test_memories_are_listed_in_order_and_by_model(tmp_path):
    for name, model in (("b", "abc"), ("a", "abc"), ("c", "xyz")):
        memory(name, model).save(tmp_path)
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "text.json").write_text("no")
    assert list_memories(tmp_path) == ["a", "b", "c"]
    assert list_memories(tmp_path, "abc") == ["a", "b"]
    assert list_memories(tmp_path / "none") == []


def test_another_model_s_memory_is_refused(tmp_path):
    memory().save(tmp_path)
    with pytest.raises(ValueError, match="'heavy-block' belongs to the model abc, not to xyz"):
        Memory.load(tmp_path, "heavy-block", "xyz")


def test_a_missing_memory_says_which_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"no memory 'none' in .*; it holds nothing"):
        Memory.load(tmp_path, "none", "abc")
    memory().save(tmp_path)
    with pytest.raises(ValueError, match="it holds heavy-block"):
        Memory.load(tmp_path, "none", "abc")


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-a", ".hidden", "a b", "a.json", "x" * 65, "a\n"])
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="a memory's name is of"):
        memory(name)
    with pytest.raises(ValueError, match="a memory's name is of"):
        Memory.load(tmp_path, name, "abc")


@pytest.mark.parametrize("conditions", [np.array([np.nan]), np.array([np.inf]), np.zeros((2, 2))], ids=str)
def test_laws_are_a_vector_of_finite_numbers(conditions):
    with pytest.raises(ValueError, match="finite numbers"):
        Memory("a", "abc", conditions)


@pytest.mark.parametrize("text", ["no", "[]", "{}", '{"format": "pushjepa-memory-0"}'])
def test_a_file_that_is_no_memory_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="is not a memory of this version"):
        Memory.load(tmp_path, "a", "abc")


@pytest.mark.parametrize("conditions", [["x"], None, {"a": 1}, [[1.0]]])
def test_a_file_without_laws_is_refused(tmp_path, conditions):
    path = memory("a").save(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"conditions": conditions}))
    with pytest.raises(ValueError, match="tells of no laws"):
        Memory.load(tmp_path, "a", "abc")


@pytest.fixture
def delta():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")
    from pushjepa.adaptation.learning import Delta

    return Delta("abc", "before", "after", {"some.weight": torch.tensor([1, -2], dtype=torch.int32)})


def test_weights_lie_beside_it(tmp_path, delta):
    memory(delta=delta).save(tmp_path)
    found = Memory.load(tmp_path, "heavy-block", "abc")
    assert found.delta == tmp_path / "heavy-block.safetensors"
    weights = found.weights()
    assert weights.tensors["some.weight"].tolist() == [1, -2]
    assert (weights.base, weights.before, weights.after) == ("abc", "before", "after")


def test_a_memory_can_be_kept_elsewhere_with_its_weights(tmp_path, delta):
    memory(delta=delta).save(tmp_path / "one")
    Memory.load(tmp_path / "one", "heavy-block", "abc").save(tmp_path / "other")
    assert Memory.load(tmp_path / "other", "heavy-block", "abc").weights().tensors["some.weight"].tolist() == [1, -2]
    Memory.load(tmp_path / "other", "heavy-block", "abc").save(tmp_path / "other")


def test_an_older_memory_s_weights_go_with_it(tmp_path, delta):
    memory(delta=delta).save(tmp_path)
    memory().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["heavy-block.json"]


def test_weights_of_another_model_or_file_are_refused(tmp_path, delta):
    with pytest.raises(ValueError, match="different models"):
        memory(model="xyz", delta=delta).save(tmp_path)
    memory(delta=delta).save(tmp_path)
    (tmp_path / "heavy-block.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="not the file that belongs to it"):
        Memory.load(tmp_path, "heavy-block", "abc")
    (tmp_path / "heavy-block.safetensors").unlink()
    with pytest.raises(ValueError, match="not the file that belongs to it"):
        Memory.load(tmp_path, "heavy-block", "abc")


def test_laws_are_remembered_without_torch(tmp_path):
    memory().save(tmp_path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from pushjepa.adaptation.memory import Memory\n"
        "print(Memory.load(Path(sys.argv[1]), 'heavy-block', 'abc').conditions.tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == LAWS.tolist()
