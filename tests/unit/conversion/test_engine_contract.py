"""The vit engine's contract: one file from which C, the page and the converter take theirs."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.conversion.engine.contract import CONTRACT, FILE_FIELDS, FLAGS, FLOATS, FORMAT, VERSION, fingerprint, header
from export.conversion.engine.reference import read_engine_file
from export.core.errors import ArtifactError

SITE = Path(__file__).parents[3] / "site"


def declared(kind: str, name: str) -> list[str]:
    """Return the lines of one declaration of the C header, without comments."""
    (body,) = re.findall(rf"typedef {kind} {{\n(.*?)}} {name};", header(), re.DOTALL)
    return [line.split("//")[0].strip(" ,;") for line in body.splitlines()]


def test_c_has_the_fields_and_faults_in_the_contract_s_order() -> None:
    kinds = {"int32": "int32_t", "float32": "float"}
    fields = [f"{kinds[field['type']]} {field['name']}" for field in CONTRACT["description"]]
    assert declared("struct", "Description") == fields
    assert declared("enum", "Fault") == [f"FAULT_{fault['name'].upper()}" for fault in CONTRACT["faults"]]
    assert f"#define CONTRACT_FINGERPRINT {fingerprint():#x}u" in header()


@pytest.mark.parametrize(("prefix", "bits"), [("FLAG", FLAGS), ("FLOAT", FLOATS)])
def test_bits_can_be_told_apart(prefix: str, bits: dict[str, int]) -> None:
    assert list(bits.values()) == [1 << index for index in range(len(bits))]
    assert f"  {prefix}_ALL = {(1 << len(bits)) - 1}," in header()


def test_the_file_has_every_field_but_those_that_the_page_chooses() -> None:
    assert [field["name"] for field in CONTRACT["description"] if field["name"] not in FILE_FIELDS] == [
        "threads",
        "images",
    ]


def test_the_page_reads_the_same_contract() -> None:
    script = "import * as contract from './js/engines/vit/contract.js'; console.log(JSON.stringify(contract))"
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", script], cwd=SITE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["FORMAT"], found["VERSION"], found["FINGERPRINT"]) == (FORMAT, VERSION, fingerprint())
    assert found["FIELDS"] == CONTRACT["description"]
    assert found["FAULTS"] == [fault["message"] for fault in CONTRACT["faults"]]


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        (None, "“None”, version None"),
        ({"format": "pt"}, "“pt”, version None"),
        ({"format": FORMAT, "schema_version": "2"}, f"“{FORMAT}”, version 2"),
    ],
)
def test_a_file_of_another_format_or_version_is_refused(
    metadata: dict[str, str] | None, found: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.vit"
    save_file({"positions": np.zeros(4, np.float32)}, file, metadata)
    with pytest.raises(ArtifactError, match=f"model.vit is {found}; expected “{FORMAT}”, version {VERSION}"):
        read_engine_file(file)
