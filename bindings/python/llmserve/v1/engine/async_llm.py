# SPDX-License-Identifier: Apache-2.0
"""vLLM's name for the place of AsyncLLM."""
from ...engine.async_llm import AsyncLLM

__all__ = ["AsyncLLM"]
