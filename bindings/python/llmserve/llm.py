# SPDX-License-Identifier: Apache-2.0
"""LLM: many prompts at once, offline."""
from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

from . import _ffi, inputs, metrics
from ._core import State, failed_output
from ._pack import Packed, tokenization
from .beam_search import BeamSearchOutput, BeamSearchSequence
from .engine.arg_utils import EngineArgs, read_template
from .engine.llm_engine import NO_POOLING, LLMEngine, check_params, \
    refuse_adapters, refused
from .exceptions import EngineBusyError, VLLMValidationError
from .outputs import CompletionOutput, RequestOutput
from .progress import BatchBar, make_bar
from .sampling_params import BeamSearchParams, SamplingParams
from .tokenizer import Tokenizer

__all__ = ["LLM"]

logger = logging.getLogger("llmserve")

Tqdm = Union[bool, Callable[..., Any]]


def _spread(what: str, value: Any, n: int) -> list:
    """One value for all n prompts, or a sequence of n."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return [value] * n
    if len(value) != n:
        raise VLLMValidationError(f"The lengths of prompts ({n}) and {what} ({len(value)}) must be "
                                  "the same.")
    return list(value)


class LLM:
    """A model, its tokenizer and its KV cache; generates texts for many prompts at once.

    Args:
        model: a directory with config.json and safetensors, a .gguf file, or the name of a
            repository that is in the local Hugging Face cache; nothing is downloaded.
        chat_template: Jinja text or the path of a file with it, for chat(); default: the model's.
        kwargs: of EngineArgs; so are the other arguments.  What only tunes machinery that is not
            here is ignored with a warning, what would change results is refused by name.

    Raises:
        TypeError: an unknown argument.
        NotImplementedError: an argument or a model that is not supported.
        ValueError, OSError, MemoryError: the model cannot be loaded so; the text says why.

    One call at a time: others wait.  Ctrl-C ends a call and leaves the engine usable.
    """

    def __init__(self, model: str, *, runner: str = "auto", convert: str = "auto",
                 tokenizer: str | None = None, tokenizer_mode: str = "auto",
                 skip_tokenizer_init: bool = False, trust_remote_code: bool = False,
                 allowed_local_media_path: str = "",
                 allowed_media_domains: list[str] | None = None, tensor_parallel_size: int = 1,
                 dtype: Any = "auto", quantization: str | None = None,
                 revision: str | None = None, tokenizer_revision: str | None = None,
                 chat_template: str | None = None, seed: int = 0,
                 gpu_memory_utilization: float = 0.92, cpu_offload_gb: float = 0,
                 offload_group_size: int = 0, offload_num_in_group: int = 1,
                 offload_prefetch_step: int = 1, offload_params: Any = None,
                 enforce_eager: bool = False, enable_return_routed_experts: bool = False,
                 return_sampling_mask: bool = False, disable_custom_all_reduce: bool = False,
                 hf_token: bool | str | None = None, hf_overrides: Any = None,
                 mm_processor_kwargs: dict[str, Any] | None = None, pooler_config: Any = None,
                 structured_outputs_config: Any = None, profiler_config: Any = None,
                 attention_config: Any = None, kv_cache_memory_bytes: int | None = None,
                 compilation_config: Any = None, quantization_config: Any = None,
                 logits_processors: list[Any] | None = None, spec_method: str | None = None,
                 spec_model: str | None = None, spec_tokens: int | None = None,
                 **kwargs: Any) -> None:
        named = {name: value for name, value in locals().items()
                 if name not in ("self", "kwargs", "chat_template")}
        named["seed"] = seed or 0
        kwargs.setdefault("disable_log_stats", True)
        self._start(EngineArgs(**named, **kwargs), chat_template)

    @classmethod
    def from_engine_args(cls, engine_args: EngineArgs) -> "LLM":
        made = cls.__new__(cls)
        made._start(engine_args, None)
        return made

    def _start(self, args: EngineArgs, chat_template: str | None) -> None:
        self.chat_template = read_template(chat_template)
        self.llm_engine = LLMEngine.from_engine_args(args)
        self.model_config = self.llm_engine.model_config
        self._core = self.llm_engine.core
        self._counter = itertools.count()
        self._defaults: SamplingParams | None = None
        self._enqueued: dict[str, RequestOutput | None] = {}

    # ---- Generation -------------------------------------------------------------------------

    def generate(self, prompts: Any,
                 sampling_params: SamplingParams | Sequence[SamplingParams] | None = None, *,
                 use_tqdm: Tqdm = True, lora_request: Any = None,
                 priority: list[int] | None = None,
                 tokenization_kwargs: Mapping[str, Any] | None = None,
                 mm_processor_kwargs: Mapping[str, Any] | None = None,
                 queue_timeout_ms: int | None = None,
                 timeout_ms: int | None = None) -> list[RequestOutput]:
        """Completes prompts; gives one output each, in their order.

        Args:
            prompts: one or a list of: str, token ids, TextPrompt, TokensPrompt.
            sampling_params: for all, or a list with one for each; None: the model's defaults.
            use_tqdm: show a bar; or what makes one, called as tqdm would be.
            priority: one for each prompt, lower first, under scheduling_policy="priority".
            tokenization_kwargs: truncate_prompt_tokens (n: the last n, -1: what fits),
                truncation_side, add_special_tokens.
            queue_timeout_ms, timeout_ms: milliseconds until each is first scheduled and until it
                ends; past them it ends with finish_reason "deadline".  Not in vLLM.

        Returns:
            A request that is refused or fails has finish_reason "error" and its exception in
            .error, and does not disturb the others; a warning is logged.

        Raises:
            Exception: where not one request succeeded, what the first one's is.
            ValueError: lists of different lengths.
            KeyboardInterrupt: all were stopped.
        """
        rest = {"queue_timeout_ms": queue_timeout_ms, "timeout_ms": timeout_ms}
        return self._run(inputs.as_list(prompts), sampling_params, use_tqdm, lora_request,
                         priority, tokenization_kwargs, rest)

    def chat(self, messages: Any,
             sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
             use_tqdm: Tqdm = True, lora_request: Any = None, chat_template: str | None = None,
             chat_template_content_format: str = "auto", add_generation_prompt: bool = True,
             continue_final_message: bool = False, tools: list[dict[str, Any]] | None = None,
             chat_template_kwargs: Mapping[str, Any] | None = None,
             tokenization_kwargs: Mapping[str, Any] | None = None,
             mm_processor_kwargs: Mapping[str, Any] | None = None) -> list[RequestOutput]:
        """Answers conversations; as generate(), with prompts made by the chat template.

        Args:
            messages: a conversation, that is a list of {"role": ..., "content": ...}, or a list
                of conversations.
            chat_template: Jinja text or a file's path, instead of the model's.
            add_generation_prompt: end the prompt with the head of an answer.
            continue_final_message: leave the last message open, to be continued.
            tools: JSON schemas of functions, for the template.
            chat_template_kwargs: further names for the template.
        """
        prompts = self._conversations(
            messages, chat_template, chat_template_content_format, add_generation_prompt,
            continue_final_message, tools, chat_template_kwargs)
        return self._run(prompts, sampling_params, use_tqdm, lora_request, None,
                         tokenization_kwargs, {})

    def _conversations(self, messages: Any, chat_template: str | None, content_format: str,
                       add_generation_prompt: bool, continue_final_message: bool,
                       tools: list[dict[str, Any]] | None,
                       chat_template_kwargs: Mapping[str, Any] | None
                       ) -> list[inputs.Prompt | Exception]:
        if content_format not in ("auto", "string", "openai"):
            raise ValueError("chat_template_content_format must be auto, string or openai, got "
                             f"{content_format!r}")
        template = read_template(chat_template) or self.chat_template

        def make(conversation: Any) -> inputs.Prompt | Exception:
            try:
                return inputs.chat(conversation, chat_template=template, tools=tools,
                                   add_generation_prompt=add_generation_prompt,
                                   continue_final_message=continue_final_message,
                                   chat_template_kwargs=chat_template_kwargs)
            except Exception as error:      # of this conversation alone
                return error
        one = len(messages) > 0 and isinstance(messages[0], Mapping)
        return [make(conversation) for conversation in ([messages] if one else messages)]

    def score_prompts(self, prompts: Any, prompt_logprobs: int = 0, *, use_tqdm: Tqdm = True,
                      flat_logprobs: bool = False,
                      tokenization_kwargs: Mapping[str, Any] | None = None) -> list[RequestOutput]:
        """Log-probabilities of given texts; nothing is generated.  Not in vLLM, where it is
        generate() with prompt_logprobs and max_tokens=1.

        Args:
            prompts: as in generate(); they may be as long as the whole context.
            prompt_logprobs: likeliest tokens at each position beside the one that is there.

        Returns:
            Outputs whose prompt_logprobs are set, and whose one completion is empty.
        """
        params = SamplingParams(prompt_logprobs=prompt_logprobs, flat_logprobs=flat_logprobs)
        return self._run(inputs.as_list(prompts), params, use_tqdm, None, None,
                         tokenization_kwargs, {"flags": _ffi.REQUEST_PREFILL_ONLY})

    def _states(self, prompts: list, sampling_params: Any, lora_request: Any,
                priority: list[int] | None, tokenization_kwargs: Mapping[str, Any] | None,
                rest: Mapping[str, Any]) -> list[State | RequestOutput]:
        """A State for each prompt, or the output of one that is refused already."""
        refuse_adapters(lora_request)
        if sampling_params is None:
            sampling_params = self.get_default_sampling_params()
        params = _spread("params", sampling_params, len(prompts))
        priorities = _spread("priority", 0 if priority is None else priority, len(prompts))
        flags, options = tokenization(tokenization_kwargs)
        rest = {**rest, "flags": flags | rest.get("flags", 0)}
        packed: dict[int, Packed | Exception] = {}
        for p in params:
            if id(p) not in packed:
                packed[id(p)] = self._pack(p, options)
        return [self._state(prompt, packed[id(p)], n, rest)
                for prompt, p, n in zip(prompts, params, priorities)]

    def _pack(self, params: Any, options: dict[str, Any]) -> Packed | Exception:
        check_params(params)
        try:
            made = self._core.pack(params, options)
        except Exception as error:
            return error
        made.output_kind, made.stream_interval = _ffi.OUTPUT_FINAL, 0
        return made

    def _state(self, prompt: Any, packed: Packed | Exception | None, priority: int,
               rest: Mapping[str, Any]) -> State | RequestOutput:
        request_id = str(next(self._counter))
        try:
            if isinstance(packed, Exception):
                raise packed
            return self._core.state(request_id, prompt, packed, priority=priority, **rest)
        except Exception as error:
            return failed_output(request_id, prompt if isinstance(prompt, str) else None, error)

    def _run(self, prompts: list, sampling_params: Any, use_tqdm: Tqdm, lora_request: Any,
             priority: list[int] | None, tokenization_kwargs: Mapping[str, Any] | None,
             rest: Mapping[str, Any]) -> list[RequestOutput]:
        items = self._states(prompts, sampling_params, lora_request, priority,
                             tokenization_kwargs, rest)
        return self._finish(self._run_batch(items, use_tqdm))

    def _run_batch(self, items: list[State | RequestOutput], use_tqdm: Tqdm,
                   beam: Any = None) -> list[RequestOutput]:
        states = [item for item in items if isinstance(item, State)]
        bar = BatchBar(use_tqdm, len(states)) if use_tqdm else None
        try:
            outputs = iter(self._core.run_batch(states, bar, beam) if states else ())
        finally:
            if bar is not None:
                bar.close()
        return [next(outputs) if isinstance(item, State) else item for item in items]

    @staticmethod
    def _finish(outputs: list[RequestOutput]) -> list[RequestOutput]:
        """Raises if all have failed, warns if some have."""
        failed = [output.error for output in outputs if output.error is not None]
        if failed and len(failed) == len(outputs):
            raise failed[0]
        if failed:
            logger.warning("%d of %d requests failed, see RequestOutput.error; the first: %s",
                           len(failed), len(outputs), failed[0])
        return outputs

    # ---- In two halves ----------------------------------------------------------------------

    def enqueue(self, prompts: Any,
                sampling_params: SamplingParams | Sequence[SamplingParams] | None = None, *,
                use_tqdm: Tqdm = True, lora_request: Any = None,
                priority: list[int] | None = None,
                tokenization_kwargs: Mapping[str, Any] | None = None,
                mm_processor_kwargs: Mapping[str, Any] | None = None) -> list[str]:
        """Queues prompts as generate() would, and gives their request ids at once.  A prompt that
        is refused has its output all the same."""
        return self._enqueue(inputs.as_list(prompts), sampling_params, lora_request, priority,
                             tokenization_kwargs)

    def enqueue_chat(self, messages: Any,
                     sampling_params: SamplingParams | Sequence[SamplingParams] | None = None, *,
                     use_tqdm: Tqdm = True, lora_request: Any = None,
                     priority: list[int] | None = None, chat_template: str | None = None,
                     chat_template_content_format: str = "auto",
                     add_generation_prompt: bool = True, continue_final_message: bool = False,
                     tools: list[dict[str, Any]] | None = None,
                     chat_template_kwargs: Mapping[str, Any] | None = None,
                     tokenization_kwargs: Mapping[str, Any] | None = None,
                     mm_processor_kwargs: Mapping[str, Any] | None = None) -> list[str]:
        """The same for conversations, see chat()."""
        prompts = self._conversations(
            messages, chat_template, chat_template_content_format, add_generation_prompt,
            continue_final_message, tools, chat_template_kwargs)
        return self._enqueue(prompts, sampling_params, lora_request, priority,
                             tokenization_kwargs)

    def _enqueue(self, prompts: list, sampling_params: Any, lora_request: Any,
                 priority: list[int] | None,
                 tokenization_kwargs: Mapping[str, Any] | None) -> list[str]:
        items = self._states(prompts, sampling_params, lora_request, priority,
                             tokenization_kwargs, {})
        for item in items:
            if isinstance(item, State):
                self._enqueued[item.request_id] = None
                self._add(item)
            else:
                self._enqueued[item.request_id] = item
        return [item.request_id for item in items]

    def _add(self, state: State) -> None:
        while True:
            try:
                return self._core.add(state)
            except EngineBusyError:     # make room
                self._take_step()
            except Exception as error:
                self._enqueued[state.request_id] = failed_output(state.request_id, state.prompt,
                                                                 error)
                return None

    def _take_step(self) -> int:
        n = 0
        for state, output in self._core.step():
            if state.request_id in self._enqueued and output.finished:
                self._enqueued[state.request_id] = output
                n += 1
        return n

    def wait_for_completion(self, output_type: Any = None, *,
                            use_tqdm: Tqdm = True) -> list[RequestOutput]:
        """Runs what was enqueued to its end; gives all outputs since the last call, in the order
        of enqueueing.  Failures are reported as in generate()."""
        waiting = sum(output is None for output in self._enqueued.values())
        bar = make_bar(use_tqdm, total=waiting, desc="Processed prompts", dynamic_ncols=True) \
            if use_tqdm else None
        try:
            while waiting > 0:
                n = self._take_step()
                waiting -= n
                if bar is not None and n > 0:
                    bar.update(n)
        finally:
            if bar is not None:
                bar.close()
        outputs = [output for output in self._enqueued.values() if output is not None]
        self._enqueued.clear()
        return self._finish(outputs)

    # ---- Beam search ------------------------------------------------------------------------

    def beam_search(self, prompts: Any, params: BeamSearchParams, lora_request: Any = None,
                    use_tqdm: Tqdm = False,
                    concurrency_limit: int | None = None) -> list[BeamSearchOutput]:
        """The likeliest completions of each prompt.

        Args:
            prompts: as in generate().
            concurrency_limit: prompts searched at once; None: all.

        Returns:
            For each prompt its beams, the best first; one that was refused has none.

        Raises:
            Exception: where not one search succeeded, what the first one's is.
        """
        refuse_adapters(lora_request)
        _ffi.need("llm_beam_search", "LLM.beam_search")
        if params.structured_outputs is not None:
            raise NotImplementedError("structured_outputs in a beam search is not supported by "
                                      "llmserve")
        items = [self._state(prompt, None, 0, {}) for prompt in inputs.as_list(prompts)]
        at_once = concurrency_limit or len(items) or 1
        outputs: list[RequestOutput] = []
        for at in range(0, len(items), at_once):
            outputs += self._run_batch(items[at:at + at_once], use_tqdm, self._beam(params))
        return [BeamSearchOutput([] if output.error is not None else
                                 [self._sequence(output, c, params) for c in output.outputs])
                for output in self._finish(outputs)]

    @staticmethod
    def _beam(params: BeamSearchParams) -> _ffi.BeamStruct:
        flags = {_ffi.BEAM_IGNORE_EOS: params.ignore_eos,
                 _ffi.BEAM_KEEP_STOP: params.include_stop_str_in_output,
                 _ffi.BEAM_NO_PENALTY: params.length_penalty == 0}
        most = params.max_tokens
        return _ffi.BeamStruct(
            flags=sum(flag for flag, is_set in flags.items() if is_set),
            beam_width=params.beam_width, temperature=params.temperature,
            max_tokens=_ffi.UINT32_MAX if most is None else min(most, _ffi.UINT32_MAX),
            length_penalty=params.length_penalty)

    def _sequence(self, output: RequestOutput, beam: CompletionOutput,
                  params: BeamSearchParams) -> BeamSearchSequence:
        tokenizer, ids = self._core.tokenizer, list(beam.token_ids)
        ended = beam.finish_reason == "stop" and len(ids) > 0
        stop_reason = ids[-1] if ended else None
        if ended and not params.include_stop_str_in_output:
            ids.pop()
        tokens = [*(output.prompt_token_ids or ()), *ids]
        return BeamSearchSequence(
            tokens, beam.logprobs or [], None, beam.cumulative_logprob or 0.0,
            tokenizer.decode(tokens) if tokenizer is not None else None, beam.finish_reason,
            stop_reason, output.prompt)

    # ---- Facts and care ---------------------------------------------------------------------

    def get_tokenizer(self) -> Tokenizer:
        """The model's; raises ValueError under skip_tokenizer_init."""
        return self.llm_engine.get_tokenizer()

    def get_default_sampling_params(self) -> SamplingParams:
        """SamplingParams() with the model's generation_config.json laid over it."""
        if self._defaults is None:
            self._defaults = self._core.default_params()
        return self._defaults.clone()

    def get_world_size(self, include_dp: bool = True) -> int:
        return self._core.plan.world_size

    def get_metrics(self) -> list[metrics.Metric]:
        """Counter, Gauge and Histogram objects as of now; no setting is needed for them."""
        return self.llm_engine.get_metrics()

    def reset_prefix_cache(self, reset_running_requests: bool = False,
                           reset_connector: bool = False) -> bool:
        """Forgets cached prefixes; False if some are in use by running requests and stay."""
        return self.llm_engine.reset_prefix_cache()

    def reset_mm_cache(self) -> None:
        """There is none."""

    def shutdown(self) -> None:
        """Frees all memory now; `del llm` does the same.  Not in vLLM."""
        self.llm_engine.shutdown()

    def __repr__(self) -> str:
        c = self.model_config
        return (f"LLM(model={c.model!r}, max_model_len={c.max_model_len}, "
                f"vocab_size={c.vocab_size})")

    encode = refused("encode", NO_POOLING)
    embed = refused("embed", NO_POOLING)
    classify = refused("classify", NO_POOLING)
    score = refused("score", NO_POOLING + "; score_prompts() gives log-probabilities of texts")
    apply_model = refused("apply_model", "the model is not a torch module")
    collective_rpc, sleep, wake_up, start_profile, stop_profile = \
        (getattr(LLMEngine, name) for name in ("collective_rpc", "sleep", "wake_up",
                                               "start_profile", "stop_profile"))
