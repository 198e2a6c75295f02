"""When a tool fails, the message says what and where to read on; when a model does not agree, nothing goes on."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from families import Chain
from onnx import TensorProto, helper
from torch import Tensor, nn

from export.conversion.converter_process import ConverterProcess, meaningful_lines
from export.conversion.onnx.export import to_onnx
from export.conversion.tensorflow import to_tf
from export.conversion.tfjs.export import run_tfjs
from export.core.errors import ConversionError, VerificationError
from export.core.figures.fidelity import accept
from export.pipeline.formats import FORMATS

pytestmark = pytest.mark.conversion
# Which modules a new process has imported without any need.
UNUSED = "[name for name in ('torch', 'jax', 'tensorflow_decision_forests') if name in __import__('sys').modules]"
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8), dtype=np.float32)


class Drifting(nn.Module):
    """Gives something else at every call, so that no export can agree with it."""

    calls = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.calls += 1
        return pixels.flatten(1)[:, :4] * self.calls


def test_an_export_that_does_not_agree_is_refused(tmp_path: Path) -> None:
    module = Drifting()
    outputs = module(torch.from_numpy(IMAGES)).numpy()
    comparison = to_onnx(module, IMAGES, outputs, tmp_path, name="drifting", log=tmp_path / "log")
    with pytest.raises(VerificationError, match=r"drifting: ONNX does not agree with its parent \(torch\)"):
        accept(comparison, FORMATS["onnx"].bounds_db[comparison.edge])


def test_what_torch_cannot_export_names_the_model(tmp_path: Path) -> None:
    class Unknown(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return torch.linalg.eigvals(pixels[0, :, :3, :3]).real.reshape(1, -1)

    with pytest.raises(ConversionError, match="strange: torch could not write the model as ONNX"):
        to_onnx(Unknown(), IMAGES, np.zeros((2, 9), np.float32), tmp_path, name="strange", log=tmp_path / "log")


def test_an_operation_the_converter_lacks_is_reported_with_the_log(tools: ConverterProcess, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Det", ["pixels"], ["det"]), helper.make_node("Flatten", ["det"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "det.onnx"
    )
    with pytest.raises(ConversionError) as failed:
        to_tf(tools, tmp_path / "det.onnx", IMAGES, tmp_path, name="det")
    assert "convert failed" in str(failed.value) and "Det" in str(failed.value)
    assert str(tools.log) in failed.value.hint
    assert not (tmp_path / "saved_model").exists()


def test_a_damaged_file_is_reported_and_the_process_lives_on(tools: ConverterProcess, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08not a model")
    with pytest.raises(ConversionError, match="simplify failed"):
        to_tf(tools, tmp_path / "broken.onnx", IMAGES, tmp_path, name="broken")
    assert tools.run(os.getcwd) == str(tools.scratch.resolve())


def test_a_tool_that_exits_is_a_failure_not_an_exit(tools: ConverterProcess) -> None:
    with pytest.raises(ConversionError, match="the tool gave up"):
        tools.run(sys.exit, "the tool gave up")


def test_the_parent_is_not_overwritten(chain: Callable[[str], Chain], tools: ConverterProcess, tmp_path: Path) -> None:
    model = chain("vit").folder / "onnx" / "model.onnx"
    before = hashlib.sha256(model.read_bytes()).hexdigest()
    to_tf(tools, model, chain("vit").inputs, tmp_path, name="vit")
    assert hashlib.sha256(model.read_bytes()).hexdigest() == before


def test_a_crash_is_reported_and_everything_is_cleaned_up(tmp_path: Path) -> None:
    with ConverterProcess(tmp_path / "convert.log") as process:
        scratch = process.scratch
        assert process.run(eval, UNUSED) == []
        with pytest.raises(ConversionError, match=r"the converter process ended within abort \(exit code -6\)"):
            process.run(os.abort)
    assert not scratch.exists()


def test_a_twin_works_at_the_same_time_and_ends_with_the_process(tmp_path: Path) -> None:
    with ConverterProcess(tmp_path / "convert.log", twin=True) as process:
        if process.twin is None:
            pytest.skip("only Linux has it")
        assert process.run(os.getcwd) == str(process.scratch.resolve())
        first, second = process.run(os.getpid), process.twin.run(os.getpid)
        assert first != second and process.twin.run(os.getppid) == first
        assert process.twin.run(os.getcwd) == str(process.twin.scratch.resolve())
        with pytest.raises(ConversionError, match="the tool gave up"):
            process.twin.run(sys.exit, "the tool gave up")
    assert not process.scratch.exists() and not Path(f"/proc/{second}/cwd").exists()


def test_without_node_the_message_says_so(
    chain: Callable[[str], Chain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConversionError, match=r"Node\.js is not on PATH(?s:.*)install Node\.js 20"):
        run_tfjs(chain("vit").folder / "u8", chain("vit").inputs, tmp_path, tmp_path / "log")


def test_a_model_the_engine_refuses_is_reported_with_its_words(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ConversionError, match="ended with exit code 1"):
        run_tfjs(tmp_path, IMAGES, tmp_path, tmp_path / "log")


def test_only_lines_that_say_something_are_shown() -> None:
    noise = ["INFO: \x1b[32m12 / 30\x1b[0m", "", "=====", "E0000 00:00:17 cuda_dnn.cc:8579] Unable to register"]
    assert meaningful_lines("\n".join([*noise, "\x1b[31mERROR: real\x1b[0m", ""])) == ["ERROR: real"]
    assert len(meaningful_lines("\n".join(f"line {n}" for n in range(99)))) == 12


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, export.conversion.converter_process, export.pipeline.session;"
        "print({'torch', 'tensorflow', 'onnx', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
