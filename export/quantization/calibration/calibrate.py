"""From a float model and a recipe to a quantized one: fold, observe, choose qparams, round, compensate the error."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from export.core.environment.machine import return_freed_memory
from export.core.errors import RequestError
from export.quantization.calibration.assemble import freeze, replace_layer
from export.quantization.calibration.block_replay import BlockReplay
from export.quantization.calibration.kept.activation_store import ActivationStore
from export.quantization.calibration.kept.sensitivity_cache import SensitivityCache, sensitivity_key
from export.quantization.calibration.layer_solver import LayerProblem, choose_layer_qparams
from export.quantization.calibration.observers import (
    GROUP_BYTES,
    Observation,
    group_by_block,
    group_by_memory,
    observe,
    observe_sensitivity,
)
from export.quantization.calibration.prepare import PreparedModel, is_quantized, prepare
from export.quantization.calibration.product_solver import choose_product_qparams
from export.quantization.calibration.qparams import CalibrationCheckpoint, ModelQParams, QParams
from export.quantization.calibration.side_by_side import side_by_side
from export.quantization.layers.discovery import PRODUCTS, QuantizableLayer
from export.quantization.recipes import Quantization, Recipe
from export.quantization.resources import full_precision

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class CalibrationJob:
    """What is calibrated, on what, and what came of it so far: `layers` in their order, `qparams` by their names."""

    quantization: Quantization
    images: Tensor
    layers: list[QuantizableLayer]
    qparams: ModelQParams
    checkpoint: CalibrationCheckpoint | None
    cache: SensitivityCache | None
    store: ActivationStore
    features: bool
    independent: bool
    tell: Tell

    def keep(self) -> None:
        """Write the parameters chosen so far."""
        if self.checkpoint:
            self.checkpoint.write(self.qparams)

    def report(self, layers: Sequence[QuantizableLayer]) -> None:
        """Tell that these layers are done."""
        for layer in layers:
            self.tell(self.layers.index(layer) + 1, len(self.layers), layer.name)


def calibrate(
    module: nn.Module,
    recipe: Recipe,
    images: Tensor,
    *,
    features: bool = False,
    independent: bool = False,
    tell: Tell = lambda done, total, name: None,
    checkpoint: CalibrationCheckpoint | None = None,
    cache: SensitivityCache | None = None,
    store: ActivationStore | None = None,
) -> nn.Module:
    """Return the quantized copy of a float module, in evaluation mode on its device.

    `images [n, 3, H, W]` are normalised calibration images on the same device; `features` says that the outputs are
    an embedding, `independent` that they do not exclude each other. `tell` is called after every layer. An interrupted
    calibration is resumed from its `checkpoint`, and what another recipe has found for the same model and images is
    taken from the `cache`. Activations are kept in the `store`.
    Raises `RequestError` for a rule that matches no layer, `ConversionError` when the method does not fit the model.
    """
    quantization = recipe.quantization
    assert quantization is not None
    if quantization.method.trains:
        raise RequestError(
            f"{recipe.name}: {quantization.method.name} is a training method (QAT), not a calibration method (PTQ)",
            hint=f"run: python -m export.train --qat {recipe.name}",
        )
    with full_precision():
        prepared = prepare(module, quantization, images)
    del module  # no copy of it is needed any more, nor by callers who keep none
    job = CalibrationJob(
        quantization=quantization,
        images=images,
        layers=[layer for layer in prepared.layers if is_quantized(layer, prepared.bits)],
        qparams=checkpoint.read(images.device) if checkpoint else ModelQParams(),
        checkpoint=checkpoint,
        cache=cache,
        store=store or ActivationStore(),
        features=features,
        independent=independent,
        tell=tell,
    )
    choose = _choose_sequentially if _is_sequential(quantization) and _observes(quantization) else _choose_independently
    with full_precision():
        choose(prepared, job)
    return freeze(prepared.module, job.qparams)


def _observes(quantization: Quantization) -> bool:
    method = quantization.method
    activations = method.activations if quantization.activation_bits is not None else "none"
    return method.weights != "max" or activations not in ("none", "dynamic") or method.compensate != "none"


def _is_sequential(quantization: Quantization) -> bool:
    """Tell whether a layer is calibrated on what the layers before it give once they are quantized."""
    return quantization.method.weights == "gptq" or quantization.method.compensate != "none"


def _gradient(job: CalibrationJob) -> str | None:
    quantization, method = job.quantization, job.quantization.method
    searches = "search" in (method.weights, method.activations) or method.weights == "gptq"
    if quantization.calibration.metric != "hessian" or not searches:
        return None
    if method.gradient != "fisher":
        return method.gradient
    return "gaussian" if job.features else "independent" if job.independent else "fisher"


def _choose_sequentially(prepared: PreparedModel, job: CalibrationJob) -> None:
    """Calibrate block by block, each on what the quantized blocks before it give."""
    float_model = _FloatModel(prepared.module, job)  # its pass takes most memory: a copy more comes behind it
    return_freed_memory()
    working = copy.deepcopy(prepared.module)
    in_quantized = BlockReplay(working, job.layers, job.images, job.store)
    for group in group_by_block(job.layers):
        names = [layer.name for layer in group]
        todo = [layer for layer in group if not job.qparams.has(layer.name)]
        observed = [layer for layer in todo if _is_observed(layer, job.quantization)]
        of_quantized = in_quantized.observe(observed, outputs=False) if observed else {}
        of_float = float_model.observe(observed) if observed else {}
        for layer in todo:
            of_layer = of_float.pop(layer.name, None)
            chosen = _choose_qparams(prepared, layer, job, of_layer, of_quantized.pop(layer.name, None))
            job.qparams.put(layer.name, chosen)
        if todo:
            job.keep()
        job.report(group)
        for name in names:
            replace_layer(working, name, job.qparams)
        in_quantized.finish(names)
        float_model.finish(names)
        return_freed_memory()


class _FloatModel:
    """What a sequential method observes of the float model, and no more: one pass for all gradients where it can be."""

    def __init__(self, module: nn.Module, job: CalibrationJob) -> None:
        self.module, self.job, method = module, job, job.quantization.method
        self.gradient = _gradient(job)
        self.searches = "search" in (method.weights, method.activations)  # then whole gradients are needed
        self.sensitivity: dict[str, Tensor] = {}
        if self.gradient and not self.searches and not all(job.qparams.has(layer.name) for layer in job.layers):
            self.sensitivity = self._sensitivity(self.gradient)
        needs_outputs = method.compensate != "none" and not self.searches
        self.replay = BlockReplay(module, job.layers, job.images, job.store) if needs_outputs else None

    def _sensitivity(self, gradient: str) -> dict[str, Tensor]:
        module, job, seed = self.module, self.job, self.job.quantization.calibration.seed
        compute = partial(observe_sensitivity, module, job.layers, job.images, gradient=gradient, seed=seed)
        if job.cache is None:
            return compute()
        layers = [layer.name for layer in job.layers]
        found = job.cache.obtain(sensitivity_key(module, job.images, gradient, seed, layers), compute)
        return {name: value.to(job.images.device) for name, value in found.items()}

    def observe(self, layers: Sequence[QuantizableLayer]) -> dict[str, Observation]:
        if self.searches:
            seed = self.job.quantization.calibration.seed
            job = self.job
            return observe(self.module, layers, job.images, gradient=self.gradient, seed=seed, store=job.store)
        found = self.replay.observe(layers) if self.replay else {layer.name: Observation(()) for layer in layers}
        for name, observation in found.items():
            observation.sensitivity = self.sensitivity.get(name)
        return found

    def finish(self, names: Sequence[str]) -> None:
        if self.replay:
            self.replay.finish(names)


def _is_observed(layer: QuantizableLayer, quantization: Quantization) -> bool:
    """Tell whether calibration images decide a layer's parameters: not those of products quantized at run time."""
    return layer.role not in PRODUCTS or quantization.method.activations != "dynamic"


def _choose_independently(prepared: PreparedModel, job: CalibrationJob) -> None:
    """Calibrate every layer on the float model, in groups whose observations fit into memory."""
    quantization, layers = job.quantization, job.layers
    groups = [layers]
    gradient = _gradient(job)
    if _observes(quantization):
        uses_gradient = quantization.calibration.metric == "hessian"
        groups = group_by_memory(
            prepared.module,
            layers,
            job.images[:1],
            len(job.images),
            gradient=uses_gradient,
            limit=job.store.group_bytes(GROUP_BYTES),
        )
    for group in groups:
        todo = [layer for layer in group if not job.qparams.has(layer.name)]
        observations: dict[str, Observation] = {}
        if todo and _observes(quantization):
            seed = quantization.calibration.seed
            observations = observe(prepared.module, todo, job.images, gradient=gradient, seed=seed, store=job.store)
        job.report([layer for layer in group if layer not in todo])
        solve = partial(_solve, prepared, job, observations)
        for layer, chosen in zip(todo, side_by_side(solve, todo, job.images.device), strict=True):
            job.qparams.put(layer.name, chosen)
            job.report([layer])
        if todo:
            job.keep()


def _solve(
    prepared: PreparedModel, job: CalibrationJob, observations: dict[str, Observation], layer: QuantizableLayer
) -> QParams:
    observation = observations.pop(layer.name, None)
    return _choose_qparams(prepared, layer, job, observation, observation)


def _choose_qparams(
    prepared: PreparedModel,
    layer: QuantizableLayer,
    job: CalibrationJob,
    of_float: Observation | None,
    of_quantized: Observation | None,
) -> QParams:
    weight_bits, activation_bits = prepared.bits[layer.name]
    problem = LayerProblem(layer, job.quantization, weight_bits or 0, activation_bits, of_float, of_quantized)
    return choose_product_qparams(problem) if layer.role in PRODUCTS else choose_layer_qparams(problem)
