/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_linear.h"

#if defined(__aarch64__)
#  define LLS_LINEAR_KERNELS lls_linear_neon
#  include "cpu/cpu_linear_neon_body.h"
#endif
