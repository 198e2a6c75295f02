"""The model to train: its architecture, what its weights start from, which blocks are frozen, and its teacher."""
