// One run of the model.
#pragma once

// Do a thread's share of a run; all threads of the model must be in it.
void forward(int thread);
