/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_linear.h"

#if defined(__AVXVNNI__) && defined(__FMA__) && defined(__F16C__)
#  define LLS_LINEAR_KERNELS lls_linear_avxvnni
#  include "cpu/cpu_linear_avx2_body.h"
#endif
