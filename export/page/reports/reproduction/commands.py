"""Facts as data: the commands that several capabilities share."""

VITS = "vit_s_32,vit_s,vit_b,vit_b_384,deit_s,deit_b,deit_b_384,swin_t,swin_s,swin_b,swin_b_384"
SIX = "vit_t,vit_s,vit_b,deit_t,deit_s,deit_b"
IMAGENET = "--data imagenet/val --calibration-data imagenet/train"
COMPARE = "python -m export.compare"
RECIPES = (
    f"{COMPARE} --model {VITS} --recipe w8a8_basic,w6a6_basic,w8a8_ptq4vit_published,w6a6_ptq4vit_published,"
    f"w8a8_ptq4vit,w6a6_ptq4vit {IMAGENET}"
)
ABLATION = f"{COMPARE} --model vit_s,vit_b,vit_b_384 --ablation ptq4vit_published {IMAGENET}"
FOUR = f"{COMPARE} --model {SIX} --recipe f32,w8a8_basic,w8a8_ptq4vit,torch_ao_dynamic {IMAGENET}"
INTEGERS = (
    "python -m export.quantize --model deit_s --recipe w8a8_ptq4vit --data imagenet/train --out deit_s.safetensors"
)
PAGE = "python -m export.build --model vit_b --engine vit --data imagenet/train"
DINO = f"{COMPARE} --model dino_s --recipe torch_ao_dynamic_linear,torch_ao_dynamic --data tiny-imagenet-200/val"
FEATURES = DINO.replace("--model dino_s", "--model photos --features")
FLOAT_RESNET = "python -m export.train --model resnet18"
TRAINED = "w8a8_affine_qat,w7a7_affine_qat,w6a6_affine_qat,w5a5_affine_qat,w4a4_affine_qat,w4a4_lsq"
WIDTHS = f"python -m export.train --model resnet18 --qat {TRAINED} --ptq affine,minmax"
LEARNED = "w8a8_lsq,w7a7_lsq,w6a6_lsq,w5a5_lsq,w4a4_lsq"
CIFAR = "python -m export.train --data .cache/datasets/cifar10.zip --model resnet18"
SGD = "--batch-size 128 --optimizer sgd --weight-decay 5e-4 --erase-prob 0 --drop-path 0 --ema-decay 0.995"
SMALL_CIFAR = (
    f"{CIFAR} --weights random --image-size 64 --epochs 20 {SGD} --lr 0.1 --crop-min 0.6 --jitter 0 --mixup 0 "
    "--cutmix 0 --out cifar10-64"
)
MIXED_CIFAR = (
    f"{CIFAR} --checkpoint cifar10-64/model.safetensors --image-size 96 --epochs 8 {SGD} --lr 0.05 "
    "--warmup-epochs 0.25 --crop-min 0.5 --jitter 0.2 --smoothing 0 --out cifar10-96"
)
FLOAT_CIFAR = (
    f"{CIFAR} --checkpoint cifar10-96/model.safetensors --image-size 96 --epochs 3 {SGD} --lr 0.03 "
    "--warmup-epochs 0.1 --crop-min 0.7 --jitter 0 --mixup 0 --cutmix 0 --out cifar10"
)
WIDTHS_CIFAR = (
    f"{CIFAR} --checkpoint cifar10/model.safetensors --qat {LEARNED} --ptq affine --epochs 0.1 --out cifar10-bits"
)
MIXED = "google/vit-base-patch16-224"
ANALYZE = f"python -m export.analyze --model {MIXED} --recipe w8a8_affine {IMAGENET}"
LADDER = f"{ANALYZE} --everything"
BITS = f"{ANALYZE} --budget 6 --bits 4,6,8"
