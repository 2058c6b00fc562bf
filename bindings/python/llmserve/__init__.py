# SPDX-License-Identifier: Apache-2.0
"""llmserve - vLLM's offline and async classes over libllmserve.

    from llmserve import LLM, SamplingParams

    llm = LLM("path/to/model")
    for output in llm.generate(["The sky is"], SamplingParams(temperature=0)):
        print(output.prompt + output.outputs[0].text)

A script for vLLM's classes runs after `import llmserve as vllm`.  The library is loaded when the
first engine is made; llmserve._ffi says where it is looked for.
"""
from ._version import __version__
from .beam_search import BeamSearchOutput, BeamSearchSequence
from .engine.arg_utils import AsyncEngineArgs, EngineArgs
from .engine.async_llm import AsyncLLM, AsyncLLMEngine
from .engine.llm_engine import LLMEngine
from .exceptions import EngineBusyError, EngineDeadError, EngineGenerateError, VLLMValidationError
from .inputs import PromptType, TextPrompt, TokensPrompt
from .llm import LLM
from .logprobs import FlatLogprobs, Logprob
from .outputs import CompletionOutput, RequestOutput, RequestStateStats
from .sampling_params import BeamSearchParams, RepetitionDetectionParams, RequestOutputKind, \
    SamplingParams, StructuredOutputsParams
from .tokenizer import Tokenizer

__all__ = [
    "__version__", "AsyncEngineArgs", "AsyncLLM", "AsyncLLMEngine", "BeamSearchOutput",
    "BeamSearchParams", "BeamSearchSequence", "CompletionOutput", "EngineArgs",
    "EngineBusyError", "EngineDeadError", "EngineGenerateError", "FlatLogprobs", "LLM",
    "LLMEngine", "Logprob", "PromptType", "RepetitionDetectionParams", "RequestOutput",
    "RequestOutputKind", "RequestStateStats", "SamplingParams", "StructuredOutputsParams",
    "TextPrompt", "Tokenizer", "TokensPrompt", "VLLMValidationError"]
