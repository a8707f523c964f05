"""Published folders: whole, verified, replaced at once, and never harmed by a write that fails."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file
from torch import Tensor

from trainers import seal, weights
from trainers.errors import InputError
from trainers.files import file_sha256

GROUPS = {
    "first": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([True, False])},
    "second": {"c": torch.full((4, 4), 0.1, dtype=torch.bfloat16), "d": torch.tensor(2**40)},
}


def _publish(folder: Path, step: int = 1) -> None:
    groups = {**GROUPS, "step": {"step": torch.tensor(step)}}
    weights.publish(folder, groups, {"step": step, "name": "g"}, "checkpoint")


def _assert_whole(folder: Path, step: int) -> None:
    """Intact, and alone in its parent: no temporary folder left."""
    assert weights.verify(folder)["step"] == step
    assert int(weights.read_tensors(folder, "step")["step"]) == step
    assert list(folder.parent.iterdir()) == [folder]


def test_tensors_views_and_facts_are_restored_bit_for_bit(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    _publish(folder)
    for name, group in GROUPS.items():
        back = weights.read_tensors(folder, name)
        assert back.keys() == group.keys()
        for key, value in group.items():
            assert back[key].dtype == value.dtype and torch.equal(back[key], value)
    manifest = weights.verify(folder)
    assert manifest == weights.read_manifest(folder) and manifest["name"] == "g"
    assert set(manifest["sha256"]) == {"first.safetensors", "second.safetensors", "step.safetensors"}
    _assert_whole(folder, 1)
    assert folder.stat().st_mode & 0o777 == 0o755
    parameter = torch.nn.Parameter(torch.randn(4, 6))
    views = {"g": {"transposed": parameter.T, "column": parameter[:, 2]}}
    weights.publish(tmp_path / "views", views, {}, "bound")
    back = weights.read_tensors(tmp_path / "views", "g")
    assert torch.equal(back["transposed"], parameter.detach().T)
    assert torch.equal(back["column"], parameter.detach()[:, 2])


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda data: bytes(byte ^ (i == at % len(data)) for i, byte in enumerate(data))


def cut(keep: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:keep]


DAMAGES = [*(flipped(at) for at in (0, 8, 60, -40, -1)), *(cut(keep) for keep in (0, 7, 40, -1)), None]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_flipped_bit_truncation_missing_and_unlisted_files_are_found(
    tmp_path: Path, damage: Callable[[bytes], bytes] | None
) -> None:
    folder = tmp_path / "f"
    _publish(folder)
    path = folder / "first.safetensors"
    path.write_bytes(damage(path.read_bytes())) if damage else path.unlink()
    for read in (lambda: weights.verify(folder), lambda: weights.read_tensors(folder, "first")):
        with pytest.raises(InputError, match=r"^[^\n]*first\.safetensors: missing or damaged[^\n]*$"):
            read()
    assert weights.read_tensors(folder, "second").keys() == {"c", "d"}
    safetensors.torch.save_file({"a": torch.zeros(1)}, folder / "guest.safetensors")
    with pytest.raises(InputError, match=r"guest\.safetensors: missing or damaged"):
        weights.read_tensors(folder, "guest")


@pytest.mark.parametrize(
    "text", [None, "", "{", "[1, 2]", "3", "{}", '{"sha256": 1}', '{"sha25\\u0016": {}}', "\xff"]
)
def test_a_damaged_manifest_is_a_damaged_folder(tmp_path: Path, text: str | None) -> None:
    """As InputError, so that a resuming trial skips such a checkpoint."""
    _publish(tmp_path / "f")
    path = tmp_path / "f" / weights.MANIFEST
    path.unlink() if text is None else path.write_text(text, encoding="latin-1")
    for read in (weights.verify, weights.read_manifest, lambda folder: weights.read_tensors(folder, "first")):
        with pytest.raises(InputError, match=r"^[^\n]*manifest\.json: not a readable manifest \(\w+\)$"):
            read(tmp_path / "f")


def test_no_flipped_bit_of_a_manifest_is_taken_as_true(tmp_path: Path) -> None:
    """Every bit of it: refused, or of no meaning, as in the space between values."""
    _publish(tmp_path / "f")
    path = tmp_path / "f" / weights.MANIFEST
    whole, manifest = path.read_bytes(), weights.read_manifest(tmp_path / "f")
    for at in range(8 * len(whole)):
        raw = bytearray(whole)
        raw[at // 8] ^= 1 << at % 8
        path.write_bytes(raw)
        try:
            assert weights.read_manifest(tmp_path / "f") == manifest
        except InputError:
            continue


def test_a_manifest_of_an_earlier_version_has_no_seal_and_of_a_newer_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish(tmp_path / "f")
    path = tmp_path / "f" / weights.MANIFEST
    manifest = json.loads(path.read_text())
    earlier = {key: value for key, value in manifest.items() if key not in ("format", "seal")}
    path.write_text(json.dumps(earlier))
    assert weights.verify(tmp_path / "f") == earlier
    for lone in ({"seal": manifest["seal"]}, {"format": 2}):
        path.write_text(json.dumps(earlier | lone))
        with pytest.raises(InputError, match=r"manifest\.json: damaged \(its checksum differs\)$"):
            weights.read_manifest(tmp_path / "f")
    with monkeypatch.context() as patch:
        patch.setattr(seal, "FORMAT", 3)
        _publish(tmp_path / "f")
    with pytest.raises(InputError, match=r"manifest\.json: of format 3, which .* allowed: up to 2$"):
        weights.read_manifest(tmp_path / "f")


def test_a_folder_is_replaced_completely_and_its_sums_are_sha256(tmp_path: Path) -> None:
    _publish(tmp_path / "p" / "f", 1)
    (tmp_path / "p" / "f" / "extra").write_text("of the old one")
    _publish(tmp_path / "p" / "f", 2)
    _assert_whole(tmp_path / "p" / "f", 2)
    assert not (tmp_path / "p" / "f" / "extra").exists()
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "abc") == known
    _publish(tmp_path / "f")
    sums = json.loads((tmp_path / "f" / weights.MANIFEST).read_text())["sha256"]
    assert all(file_sha256(tmp_path / "f" / name) == value for name, value in sums.items())


def test_the_visible_folder_is_always_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every deletion and write, a reader of the published name finds a complete folder or none."""
    folder, steps = tmp_path / "p" / "f", []
    _publish(folder, 1)

    def watched(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            steps.append(weights.verify(folder)["step"] if folder.exists() else None)
            return result

        return call

    for module, name in ((os, "unlink"), (os, "rmdir"), (safetensors.torch, "save_file"), (weights, "_sync")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    _publish(folder, 2)
    assert {1, 2} <= set(steps) <= {1, 2, None} and len(steps) > 8
    _assert_whole(folder, 2)


class _Failure(Exception):
    pass


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("fault", ["save", "partly saved", "sync", "json", "manifest", "rename"])
def test_a_failing_write_leaves_the_old_folder_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existed: bool, fault: str
) -> None:
    folder = tmp_path / "p" / "f"
    if existed:
        _publish(folder, 1)
    groups, facts = {"step": {"step": torch.tensor(2)}, "other": {"a": torch.zeros(3)}}, {"step": 2}

    def fail(*_: object, **__: object) -> None:
        raise _Failure

    def save_half(tensors: dict[str, Tensor], path: Path) -> None:
        if path.stem == "other":
            path.write_bytes(b"half")
            raise _Failure
        save_file(tensors, path)

    with monkeypatch.context() as patch:
        if fault in ("save", "partly saved"):
            patch.setattr(safetensors.torch, "save_file", fail if fault == "save" else save_half)
        elif fault == "sync":
            patch.setattr(os, "fsync", fail)
        elif fault == "json":
            facts["step"] = {1}  # type: ignore[assignment]
        else:
            patch.setattr(Path, "write_text" if fault == "manifest" else "rename", fail)
        with pytest.raises((_Failure, TypeError)):
            weights.publish(folder, groups, facts, "checkpoint")
    if existed:
        _assert_whole(folder, 1)
    assert list(folder.parent.iterdir()) == [folder] * existed
    _publish(folder, 3)
    _assert_whole(folder, 3)
