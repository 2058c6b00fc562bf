# SPDX-License-Identifier: Apache-2.0
"""What vLLM's offline examples use of its module of this name."""
from __future__ import annotations

import gc

__all__ = ["cleanup_dist_env_and_memory"]


def cleanup_dist_env_and_memory(shutdown_ray: bool = False) -> None:
    """Frees engines that nothing refers to; there is no other state of the process."""
    gc.collect()
