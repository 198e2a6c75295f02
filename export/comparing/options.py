"""The command line of a comparison, read into what is to be done and by how many processes."""

import argparse

from export.comparing.grid.processes import Crew, available_cores
from export.comparing.plan import Request
from export.comparing.variations import DEFAULT, Studies, ablation, select, vary
from export.core.errors import RequestError
from export.models.choice.options import check_one_model, read_model
from export.quantization.resources import read_memory

CPU = "cpu"


def read_request(args: argparse.Namespace) -> Request:
    """Return what to compare; raises `RequestError` for options that cannot be met."""
    names = tuple(dict.fromkeys(name.strip() for name in args.model.split(",") if name.strip()))
    if not names:
        raise RequestError(f"--model {args.model!r} names no model", hint="for instance --model deit_t,vit_s")
    check_one_model(args, names)
    for option, value, least in (("limit", args.limit, 1), ("rounds", args.rounds, 0), ("workers", args.workers, 0)):
        if value is not None and value < least:
            raise RequestError(f"--{option} {value}: at least {least} is needed", hint="pass a larger number")
    if args.bits is not None and args.ablation is None:
        raise RequestError("--bits are the widths of --ablation", hint="recipes name theirs: --recipe w6a6_ptq4vit")
    recipes = [] if args.ablation and args.recipe is None else select(args.recipe or DEFAULT)
    cells = ablation(args.ablation, args.bits or (8, 6)) if args.ablation else []
    studies = Studies(
        images=args.images, seeds=args.seeds, row_groups=args.row_groups, candidates=args.candidates, steps=args.steps
    )
    return Request(
        models=tuple(read_model(args, name) for name in names),
        variations=tuple(vary(recipes, cells, studies)),
        data=args.data,
        calibration_data=args.calibration_data,
        limit=args.limit,
        rounds=args.rounds,
        peers=args.peers,
        operators=not args.ablation,
        artifacts=args.artifacts,
        out=args.out,
    )


def read_crew(args: argparse.Namespace) -> Crew:
    """Return the processes that do the jobs: by default one on each GPU, else one for each thread of PyTorch."""
    import torch

    gpus = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    count = args.workers if args.workers is not None else len(gpus) or available_cores()
    devices = tuple(gpus[index % len(gpus)] if gpus else CPU for index in range(count))
    return Crew(devices, None if args.memory is None else read_memory(args.memory))
