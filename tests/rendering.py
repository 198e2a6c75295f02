"""Stored models with arbitrary bytes and real records, and sites rendered from them."""

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from export.core.records import Artifact, ModelSpec, ParentArtifact, Preprocess, SelfTest, Verification, Weights
from export.page.render import RenderReport, render
from export.pipeline.store import Made, Plan, Store

PAGES = ("index.html", "results.html", "method.html", "404.html")
ENGINES = {"tfjs": ["tfjs.FF.js", "tfjs.wasm"], "ort": ["ort.GG.js", "ort.wasm"]}  # each engine's own
LIBRARY = ["assets/library_worker.HH.js", "lib/vit-pages.js"]
LABELS = ("</script><script>alert(1)</script>", "<b>bold & wise</b>", "Käse", "plain")


def make_spec(name: str, weights: Weights = "embedded") -> ModelSpec:
    return ModelSpec(
        name=name,
        title=name.title(),
        timm_name="vit_tiny_patch16_224",
        weights=weights,
        weights_sha256="ab" * 32,
        preprocess=Preprocess(
            size=28, crop_pct=0.9, crop_mode="center", interpolation="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3
        ),
        labels=LABELS,
        features=False,
        outputs=4,
        parameters=1234567,
        licence="MIT",
        source="https://example.org/model",
    )


def ancestors(*artifacts: Artifact) -> tuple[ParentArtifact, ...]:
    return tuple(ParentArtifact(format=one.format, recipe=one.recipe, sha256=one.sha256) for one in artifacts)


def store_model(store: Store, spec: ModelSpec, recipes: tuple[str, ...] = ("u8", "f32")) -> None:
    """Store a model's chain of artifacts; the bytes are arbitrary, the records are real."""

    def write(recipe: str, format: str, parent: tuple[Artifact, ...], body: bytes, sqnr_db: float | None) -> Artifact:
        def make(folder: Path) -> Made:
            (folder / ("spec.json" if format == "torch" else "model.json")).write_bytes(body)
            (folder / "weights.bin").write_bytes(body[::-1])
            if format == "torch":
                return Made()
            return Made(
                Verification(
                    edge="u8",
                    parent=parent[0].format,
                    n=8,
                    max_abs_diff=0.0123,
                    sqnr_db=sqnr_db,
                    top1_agreement=1.0,
                    bound_sqnr_db=25.0,
                )
            )

        storage = "uint8" if recipe == "u8" else "float32"
        return store.write(
            Plan(
                model=spec.name,
                recipe=recipe,
                format=format,
                key="key",
                parents=ancestors(*parent),
                storage_dtype=storage,
                tools={f"{format}-tool": "1.2.3"},
            ),
            make,
        )

    torch = write("f32", "torch", (), json.dumps(spec.to_json()).encode(), None)
    tf = write("f32", "tf", (torch,), f"tf of {spec.name}, {spec.weights}".encode(), None)
    write_file(store, torch, "f32", "selftest", "selftest.safetensors", f"images of {spec.name}".encode())
    expected = json.dumps(SelfTest(max_abs_diff=0.125, agrees=(True, False)).to_json()).encode()
    for recipe in recipes:
        artifact = write(recipe, "tfjs", (tf,), f"{recipe} of {spec.name}".encode() * 100, 34.56)
        write_file(store, artifact, recipe, "selftest_tfjs", "selftest.json", expected)


def write_file(store: Store, parent: Artifact, recipe: str, format: str, name: str, body: bytes) -> Artifact:
    """Store an artifact of one file."""

    def make(folder: Path) -> Made:
        (folder / name).write_bytes(body)
        return Made()

    plan = Plan(
        model=parent.model,
        recipe=recipe,
        format=format,
        key="key",
        parents=ancestors(parent),
        storage_dtype="",
        tools={},
    )
    return store.write(plan, make)


def make_store(root: Path) -> Store:
    store = Store(root)
    store_model(store, make_spec("plain"))
    store_model(store, make_spec("noise", "random"))
    return store


def make_bundle(folder: Path) -> Path:
    folder.mkdir()
    names = {"main": "main.AA.js", "worker": "worker.BB.js", "client": "client.CC.js", "css": "main.DD.css"}
    files = [*names.values(), "LICENCES.txt", "chunk.EE.js", *(name for own in ENGINES.values() for name in own)]
    for name in files:
        (folder / name).write_text(name)
    (folder / "sw.js").write_text("the service worker")
    (folder / "left-over.js").write_text("not named in bundle.json")
    for path in LIBRARY:
        (folder / "library" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "library" / path).write_text(path)
    listed = {**names, "files": files, "engines": ENGINES, "library": LIBRARY}
    (folder / "bundle.json").write_text(json.dumps(listed))
    return folder


def make_site(
    store: Store,
    bundle: Path,
    out: Path,
    measurements: Path | None = None,
    models: tuple[str, ...] = ("plain", "noise"),
    benchmark: Path | None = None,
    analyses: Sequence[Path] = (),
    comparisons: Sequence[Path] = (),
) -> RenderReport:
    return render(
        artifacts=store.root,
        models=list(models),
        recipes=["u8", "f32"],
        bundle=bundle,
        measurements=measurements,
        benchmark=benchmark,
        analyses=analyses,
        comparisons=comparisons,
        out=out,
    )


def read_site_data(out: Path) -> dict[str, Any]:
    html = (out / "index.html").read_text()
    found = re.search(r'<script type="application/json" id="site-data">(.*?)</script>', html, re.DOTALL)
    assert found
    values: dict[str, Any] = json.loads(found[1])
    return values


class Tags(HTMLParser):
    """Every start tag with its attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
