"""Public data sets to train on: where they are, and how they come here whole."""
