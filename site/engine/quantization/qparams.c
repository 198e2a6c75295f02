#include "quantization/qparams.h"

ActType act_type = ACT_INT16;

QParams act_qparams(Quantizer q, ActType type) {
  QParams params = {q.scale, q.qmin, q.qmax, 0};
  if (q.scale < 0) {
    params.zero_point = type == ACT_INT8 ? -128 : 0;
    return params;
  }
  if (type == ACT_UINT8) params.zero_point = -(int)params.qmin;
  if (type == ACT_INT8 && (q.qmin < -128 || q.qmax > 127)) params.zero_point = -128 - (int)q.qmin;
  return params;
}

QParams weight_qparams(Quantizer q, ActType type) {
  const int fits = type == ACT_INT16 || (q.qmin >= -128 && q.qmax <= 127);
  return (QParams){q.scale, q.qmin, q.qmax, fits ? 0 : -128 - (int)q.qmin};
}
