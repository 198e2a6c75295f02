// Runs of the model, in which each of the first `threads` threads takes part.
#pragma once

// Do a thread's share of the run of one image.
void forward(int thread, int threads);

// Run the thread's own image, and wait until the others have run theirs.
void forward_alone(int thread, int threads);
