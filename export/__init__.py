"""ViT Pages: a Vision Transformer goes in, a static page that runs it in the browser comes out."""

__version__ = "0.1.0"
