// GELU, exact or with tanh: x · (1/2 + c·P(c²)/Q(c²)), c = x cut off where the factor has become 0 or 1.
#pragma once

#include "simd/simd.h"

// P and Q have degree 2 in c². The fits are off by 4e-4 at most, as far as the two forms are from each other: a few
// hundredths of an 8-bit step. A further degree would cost more than its terms, since registers run out.
typedef struct {
  float cut, p[3], q[2];  // q: of c², c⁴; the constant is 1
} GeluFit;

static const GeluFit GELU_ERF = {3.7f, {0.399600267f, 0.104159907f, 0.00290100067f}, {0.42553398f, 0.0571287237f}};
static const GeluFit GELU_TANH = {3.68f, {0.398612231f, 0.115770265f, 0.00319836033f}, {0.452058643f, 0.0636218563f}};

INLINE V gelu(V x, const GeluFit *fit) {
  const V c = vmax(vmin(x, splat(fit->cut)), splat(-fit->cut)), t = mul(c, c);
  V p = add(mul(t, splat(fit->p[2])), splat(fit->p[1]));
  V q = add(mul(t, splat(fit->q[1])), splat(fit->q[0]));
  p = add(mul(p, t), splat(fit->p[0]));
  q = add(mul(q, t), splat(1));
  return mul(x, add(wasm_f32x4_div(mul(c, p), q), splat(0.5f)));
}
