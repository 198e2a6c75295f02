"""A grid of independent jobs: in processes or on a Ray cluster, resumable, within the memory there is."""
