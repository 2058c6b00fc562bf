# SPDX-License-Identifier: Apache-2.0
"""vLLM's name for the place of these."""
from ...metrics import Counter, Gauge, Histogram, Metric, Vector

__all__ = ["Counter", "Gauge", "Histogram", "Metric", "Vector"]
