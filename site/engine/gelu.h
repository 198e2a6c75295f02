// GELU, exact or with tanh: x · (1/2 + c·P(c²)/Q(c²)), c = x cut off where the factor has become 0 or 1.
#pragma once

#include "simd.h"

// P has the degree of Q in c²; the fits are off by 5e-6 at most, float32 rounding included.
typedef struct {
  float cut, p[4], q[3];  // q: of c², c⁴, c⁶; the constant is 1
} GeluFit;

static const GeluFit GELU_ERF = {
    4.7f,
    {0.39891636f, 0.028014708f, 0.0038016341f, 3.2134842e-05f},
    {0.23677436f, 0.024047539f, 0.0011407112f},
};
static const GeluFit GELU_TANH = {
    4.9f,
    {0.39898169f, 0.025913296f, 0.00337432f, 2.7106114e-05f},
    {0.2327356f, 0.021580214f, 0.00099115539f},
};

INLINE V gelu(V x, const GeluFit *fit) {
  const V c = vmax(vmin(x, splat(fit->cut)), splat(-fit->cut)), t = mul(c, c);
  V p = add(mul(t, splat(fit->p[3])), splat(fit->p[2]));
  V q = add(mul(t, splat(fit->q[2])), splat(fit->q[1]));
  p = add(mul(p, t), splat(fit->p[1]));
  q = add(mul(q, t), splat(fit->q[0]));
  p = add(mul(p, t), splat(fit->p[0]));
  q = add(mul(q, t), splat(1));
  return mul(x, add(wasm_f32x4_div(mul(c, p), q), splat(0.5f)));
}
