"""Facts as data: the capabilities of five public projects, what they published, and the commands that do the same here.

Published figures are top-1 accuracies on ImageNet in percent unless said otherwise, from the source of the project.
"""

from dataclasses import dataclass

from export.page.reports.reproduction.commands import (
    ABLATION,
    ANALYZE,
    BITS,
    COMPARE,
    DINO,
    FEATURES,
    FLOAT_CIFAR,
    FLOAT_RESNET,
    FOUR,
    IMAGENET,
    INTEGERS,
    LADDER,
    MIXED,
    MIXED_CIFAR,
    PAGE,
    RECIPES,
    SIX,
    SMALL_CIFAR,
    VITS,
    WIDTHS,
    WIDTHS_CIFAR,
)


@dataclass(frozen=True, slots=True)
class Capability:
    """What a project can do: the `commands` that do it here, and what it `published`.

    `recipes` are those of the kept evaluation whose figures belong beside it; `measured` names another of our figures.
    """

    number: int
    projects: tuple[str, ...]
    title: str
    commands: tuple[str, ...]
    published: str
    recipes: tuple[str, ...] = ()
    measured: str = ""


CAPABILITIES = (
    Capability(
        1,
        ("R1",),
        "Models: ViT, DeiT and Swin, also with 384 pixels",
        (f"{COMPARE} --model vit_t,{VITS},deit_t --recipe f32 --data imagenet/val",),
        "float: ViT-T 75.46, S/32 75.99, S 81.39, B 84.54, B/384 86.00; DeiT-T 72.18, S 79.80, B 81.80, B/384 83.11; "
        "Swin-T 81.39, S 83.23, B 85.27, B/384 86.44",
        ("f32",),
    ),
    Capability(
        2,
        ("R1", "R0"),
        "BasePTQ, W8A8",
        (RECIPES,),
        "ViT-S/32 73.61, S 80.47, B 83.90, B/384 85.35; DeiT-S 77.65, B 80.95, B/384 82.33; Swin-T 80.96, S 82.76, "
        "B 84.79, B/384 86.17",
        ("w8a8_basic",),
    ),
    Capability(
        3,
        ("R1",),
        "BasePTQ, W6A6",
        (RECIPES,),
        "ViT-S/32 60.14, S 70.24, B 75.67, B/384 46.89; DeiT-S 72.27, B 78.79, B/384 68.44; Swin-T 78.46, S 81.74, "
        "B 83.35, B/384 85.23",
        ("w6a6_basic",),
    ),
    Capability(
        4,
        ("R1", "R0"),
        "PTQ4ViT, W8A8",
        (RECIPES,),
        "ViT-S/32 75.58, S 81.00, B 84.25, B/384 85.83; DeiT-S 79.47, B 81.48, B/384 82.97; Swin-T 81.25, S 83.11, "
        "B 85.15, B/384 86.39",
        ("w8a8_ptq4vit_published", "w8a8_ptq4vit"),
    ),
    Capability(
        5,
        ("R1",),
        "PTQ4ViT, W6A6",
        (RECIPES,),
        "ViT-S/32 71.91, S 78.63, B 81.65, B/384 83.35; DeiT-S 76.28, B 80.25, B/384 81.55; Swin-T 80.47, S 82.38, "
        "B 84.01, B/384 85.39",
        ("w6a6_ptq4vit_published", "w6a6_ptq4vit"),
    ),
    Capability(
        6,
        ("R1",),
        "Hessian metric on and off",
        (ABLATION,),
        "W8A8, W6A6: ViT-S 80.47 → 80.93, 70.24 → 77.20; B 83.90 → 83.97, 75.67 → 79.90; B/384 85.35 → 85.42, "
        "46.89 → 79.99",
        measured="ablation",
    ),
    Capability(
        7,
        ("R1",),
        "Softmax twin on and off",
        (ABLATION,),
        "with the Hessian, W8A8, W6A6: ViT-S 81.11, 78.57; B 84.07, 80.76; B/384 85.67, 82.01",
        measured="ablation",
    ),
    Capability(
        8,
        ("R1",),
        "GELU twin on and off",
        (ABLATION,),
        "with the Hessian, W8A8, W6A6: ViT-S 80.84, 76.93; B 84.10, 80.82; B/384 85.60, 82.21",
        measured="ablation",
    ),
    Capability(
        9,
        ("R1",),
        "Both twins without the Hessian, and all three",
        (ABLATION,),
        "W8A8, W6A6: twins ViT-S 79.25, 74.07; B 83.40, 78.86; B/384 84.35, 80.86; all ViT-S 81.00, 78.63; B 84.25, "
        "81.65; B/384 85.89, 83.19",
        measured="ablation",
    ),
    Capability(
        10,
        ("R1",),
        "Bits by layer, groups of rows, products by head, metrics, range and rounds of the search",
        (
            "python -m export.quantize --model deit_s --method basic --weights-bits 8 --activation-bits 8 --rule "
            "head=6,8 --metric mse --rounds 3 --search-range 0.5,1.2 --data imagenet/train --out mixed.safetensors",
            f"{COMPARE} --model deit_s --recipe w6a6_basic --row-groups 1,4 --candidates 20 {IMAGENET}",
        ),
        "less than 0.5 points lost at W8A8",
    ),
    Capability(
        11,
        ("R1",),
        "32 or 128 calibration images, seeds, time and memory of each",
        (f"{COMPARE} --model vit_s --recipe w8a8_ptq4vit,w6a6_ptq4vit --images 32,128 --seeds 0,1,2 {IMAGENET}",),
        "standard deviation over 20 draws 0.035 to 0.094 points; minutes for 32 and 128 images: ViT-S 3, 7; ViT-B 4, "
        "13; DeiT-S 3, 7; Swin-B/384 25, 69",
        measured="study",
    ),
    Capability(
        12,
        ("R1",),
        "Integers for weights and activations; the file computes what was calibrated, bit for bit",
        (INTEGERS,),
        "no figure",
    ),
    Capability(13, ("R1",), "Quantized models that can be loaded from their file alone", (INTEGERS,), "no figure"),
    Capability(
        14, ("R1",), "Experiments in parallel processes", (f"{ABLATION} --workers 4",), "48 runs on several GPUs"
    ),
    Capability(
        15,
        ("R1",),
        "Own images, timm's preprocessing, only chosen layers",
        (
            "python -m export.quantize --model vit_s --method ptq4vit --weights-bits 8 --activation-bits 8 --rule "
            "'blocks.0.*=-' --data imagenet/train --out chosen.safetensors",
        ),
        "no figure",
    ),
    Capability(
        16,
        ("R0",),
        "PyTorch's dynamic quantization",
        (f"{COMPARE} --model {SIX} --recipe torch_ao_dynamic,torchao_dynamic --data imagenet/val",),
        "ViT-T 71.52, S 79.83, B 83.67; DeiT-T 71.64, S 79.10, B 81.30; MB: T 6.46, S 23.44, B 89.25",
        ("torch_ao_dynamic", "torchao_dynamic"),
    ),
    Capability(
        17,
        ("R0",),
        "Accuracy of float, Basic, PTQ4ViT and dynamic quantization",
        (FOUR,),
        "ViT-T 75.46, 69.83, 74.64, 71.52; S 81.39, 80.55, 80.96, 79.83; B 84.53, 83.88, 84.04, 83.67; DeiT-T 72.18, "
        "71.27, 71.70, 71.64; S 79.85, 77.61, 79.40, 79.10; B 81.99, 80.93, 81.44, 81.30",
        ("f32", "w8a8_basic", "w8a8_ptq4vit", "torch_ao_dynamic"),
    ),
    Capability(
        18,
        ("R0",),
        "Size of the same",
        (FOUR,),
        "MB: T 22.92, 8.32, 8.32, 6.46; S 88.26, 32.54, 32.54, 23.44; B 346.33, 128.77, 128.77, 89.25 (see below)",
        measured="sizes",
    ),
    Capability(
        19,
        ("R0",),
        "Throughput with and without dynamic quantization",
        (FOUR,),
        "dynamic × float, CPU, batch 1: ViT-T 1.18, S 1.42, B 1.79; DeiT-T 1.15, S 1.63, B 1.65",
        measured="throughput",
    ),
    Capability(
        20,
        ("R0",),
        "Plots of size, accuracy loss and throughput from kept results",
        (f"{COMPARE} --redraw",),
        "3 figures",
    ),
    Capability(
        21,
        ("R0",),
        "A static page: choice of model and precision, own pictures, the top 5",
        (PAGE,),
        "about 70 % smaller; its three precisions are the same float32 files",
        measured="page",
    ),
    Capability(
        22,
        ("R2",),
        "Dynamic quantization of a feature model, DINO ViT-S/16",
        (DINO,),
        "seconds a picture: GPU 0.0077, CPU 0.2014; dynamic: Linear 0.1940, Linear and Conv 0.1892",
        measured="dynamic",
    ),
    Capability(
        23,
        ("R2",),
        "Tiny ImageNet, and the accuracy of a model without a head",
        ("python -m export.data get tiny-imagenet", DINO, FEATURES),
        "no accuracy",
        measured="features",
    ),
    Capability(
        24,
        ("R2",),
        "Which operations can be quantized, which cannot, and why",
        (f"{COMPARE} --model dino_s --recipe f32 --data tiny-imagenet-200/val",),
        "Linear can; LayerNorm, dropout and GELU cannot",
        measured="operators",
    ),
    Capability(
        25,
        ("R3",),
        "PTQ and QAT at 8 to 4 bits: per tensor, asymmetric, BatchNorm folded, integer layers",
        (FLOAT_RESNET, WIDTHS),
        "CIFAR-10, ResNet-18, float 80.39; at 8, 7, 6, 5, 4 bits PTQ 79.68, 79.26, 75.39, 51.53, 13.36; QAT 80.57, "
        "81.18, 76.89, 63.44, 22.57",
        measured="bitwidths",
    ),
    Capability(
        26,
        ("R3",),
        "ResNet-18 and ResNet-50 on CIFAR-10 and Imagenette",
        ("python -m export.data get cifar10", SMALL_CIFAR, MIXED_CIFAR, FLOAT_CIFAR, WIDTHS_CIFAR),
        "ResNet-50, float 84.60; PTQ 24.18, 23.77, 18.06, 13.78, 10.61; QAT 79.34, 79.08, 73.34, 40.95, 9.90; "
        "Imagenette, ResNet-18 94.65, QAT at 4 bits 13.32; ResNet-50 96.03, 11.29",
        measured="bitwidths of photographs",
    ),
    Capability(
        27,
        ("R3",),
        "Training with logs, convergence plots, and the compiled results",
        (f"{COMPARE} --bitwidths .cache/train/resnet18/table.json",),
        "compiled_val_acc.csv and plots",
        measured="bitwidths",
    ),
    Capability(
        28,
        ("R3",),
        "Quantized from trained float weights; ONNX, compared with PyTorch",
        ("python -m export.quantize --model resnet18 --recipe w8a8_minmax --data imagenet/train --out resnet18.onnx",),
        "relative tolerance 1e-3",
    ),
    Capability(
        29,
        ("R3",),
        "Classify several pictures at a chosen precision, with the label and latency of each",
        (PAGE,),
        "on a server, at 32, 8, 6 and 4 bits",
        measured="page",
    ),
    Capability(
        30,
        ("R4",),
        "ViT-B/16 with 8 bits everywhere, and in part",
        (
            f"{COMPARE} --model {MIXED} --recipe w8a8_affine {IMAGENET}",
            f"python -m export.quantize --model {MIXED} --method affine --weights-bits 8 --activation-bits 8 --rule "
            "'blocks.[45].mlp.fc2=-' --data imagenet/train --out vit_b_mixed.safetensors",
            LADDER,
        ),
        "float 81.43; all in int8 0; residual additions in float 78.49; two sensitive layers too 80.94",
        measured="ladder",
    ),
    Capability(
        31,
        ("R4",),
        "Sensitivity: one layer quantized at a time, resumable",
        (ANALYZE,),
        "a list of accuracies",
        measured="sensitivity",
    ),
    Capability(
        32,
        ("R4",),
        "Errors of each layer and cumulative, as cosine and SQNR; histograms with warnings",
        (ANALYZE,),
        "rule: cosine of the last layer above 0.9",
        measured="layers",
    ),
    Capability(
        33,
        ("R4",),
        "Bits of each layer from a file, and suggested",
        (BITS,),
        "80.94 with two layers in float",
        measured="bits",
    ),
    Capability(
        34,
        ("R4",),
        "A Hugging Face ViT as a source, and a model of integers as the result",
        (
            f"python -m export.quantize --model {MIXED} --recipe w8a8_affine --data imagenet/train "
            "--out vit_b.safetensors",
        ),
        "TFLite, int8",
    ),
)
