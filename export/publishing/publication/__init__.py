"""Publishing a built page: what is checked first, and the branch that it is pushed to."""
