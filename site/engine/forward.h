// The model applied to images, in which each of the first `threads` threads takes part.
#pragma once

// Do a thread's share of one image.
void forward(int thread, int threads);

// Do the thread's own image of a batch, and wait until the others have done theirs.
void forward_batch(int thread, int threads);
