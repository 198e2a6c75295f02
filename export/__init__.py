"""ViT Pages: quantize a Vision Transformer and publish it as a static page that runs it in the browser."""

import os
import sys

from export.core.environment.timm_import import WithoutCompiler

__version__ = "0.1.0"

# PyTorch's OpenMP threads wait for each other actively, for milliseconds unless told otherwise. Where other programs
# want the cores too, they wait for one that is not running. Must be set before PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

sys.meta_path.insert(0, WithoutCompiler())
