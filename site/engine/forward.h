// One run of the model.
#pragma once

// Do a thread's share of a run of the first `threads` threads; all of them must be in it.
void forward(int thread, int threads);
