# SPDX-License-Identifier: Apache-2.0
"""Arguments of an engine: vLLM's names and defaults, and what becomes of each here.

An argument that keeps its default says nothing.  Another one goes to the library if the library
has an option of that name, which then checks it; it is ignored with a warning if it only tunes
machinery that is not here; and it is refused by name if results would differ without it.
"""
from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
from dataclasses import dataclass, field, fields
from typing import Any

from .. import _ffi

__all__ = ["EngineArgs", "AsyncEngineArgs"]

logger = logging.getLogger("llmserve")


def _dict() -> Any:
    return field(default_factory=dict)


@dataclass
class EngineArgs:
    """Everything that vLLM's EngineArgs has, and at the end what only this library has.

    An unknown name raises TypeError.  See the library's option list for units and ranges.
    """

    # Model
    model: str = "Qwen/Qwen3-0.6B"
    enable_return_routed_experts: bool = False
    return_sampling_mask: bool = False
    runner: str = "auto"
    convert: str = "auto"
    tokenizer: str | None = None
    tokenizer_mode: str = "auto"
    trust_remote_code: bool = False
    allowed_local_media_path: str = ""
    allowed_media_domains: list[str] | None = None
    dtype: Any = "auto"
    seed: int = 0
    hf_config_path: str | None = None
    revision: str | None = None
    code_revision: str | None = None
    tokenizer_revision: str | None = None
    max_model_len: int | None = None
    quantization: str | None = None
    quantization_config: Any = None
    allow_deprecated_quantization: bool = False
    enforce_eager: bool = False
    max_logprobs: int = 20
    logprobs_mode: str = "raw_logprobs"
    use_fp64_gumbel: bool = False
    enable_trace_replay: bool = False
    disable_sliding_window: bool = False
    disable_cascade_attn: bool = True
    skip_tokenizer_init: bool = False
    enable_prompt_embeds: bool = False
    served_model_name: str | list[str] | None = None
    config_format: str = "auto"
    hf_token: bool | str | None = None
    hf_overrides: Any = _dict()
    model_class_overrides: dict[str, Any] = _dict()
    pooler_config: Any = None
    generation_config: str = "auto"
    override_generation_config: dict[str, Any] = _dict()
    enable_sleep_mode: bool = False
    enable_cumem_allocator: bool = False
    model_impl: str = "auto"
    logits_processors: list[Any] | None = None
    io_processor_plugin: str | None = None
    renderer_num_workers: int = 1

    # Loading
    load_format: str = "auto"
    download_dir: str | None = None
    safetensors_load_strategy: str | None = None
    safetensors_prefetch_num_threads: int | None = None
    safetensors_prefetch_block_size: int | None = None
    model_loader_extra_config: dict[str, Any] = _dict()
    ignore_patterns: Any = field(default_factory=lambda: ["original/**/*"])
    use_tqdm_on_load: bool = True
    pt_load_map_location: Any = "cpu"

    # Attention, Mamba
    attention_backend: str | None = None
    mamba_backend: str = "triton"
    mamba_ssu_algorithm: str | None = None
    enable_mamba_cache_stochastic_rounding: bool = False
    mamba_cache_philox_rounds: int = 0

    # Reasoning and guides
    reasoning_parser: str = ""
    reasoning_parser_plugin: str = ""
    reasoning_config: Any = None
    structured_outputs_config: Any = _dict()

    # Ranks
    distributed_executor_backend: Any = None
    pipeline_parallel_size: int = 1
    master_addr: str = "127.0.0.1"
    master_port: int = 29501
    nnodes: int = 1
    node_rank: int = 0
    distributed_timeout_seconds: int | None = None
    cpu_distributed_timeout_seconds: int | None = None
    numa_bind: bool = False
    numa_bind_nodes: list[int] | None = None
    numa_bind_cpus: list[str] | None = None
    device_ids: list[Any] | None = None
    tensor_parallel_size: int = 1
    decode_context_parallel_size: int = 1
    dcp_comm_backend: str = "ag_rs"
    dcp_kv_cache_interleave_size: int = 1
    cp_kv_cache_interleave_size: int = 1
    prefill_context_parallel_size: int = 1
    data_parallel_size: int = 1
    data_parallel_rank: int | None = None
    data_parallel_start_rank: int | None = None
    data_parallel_size_local: int | None = None
    data_parallel_address: str | None = None
    data_parallel_rpc_port: int | None = None
    data_parallel_backend: str = "mp"
    data_parallel_hybrid_lb: bool = False
    data_parallel_external_lb: bool = False
    data_parallel_multi_port_external_lb: bool = False
    enable_expert_parallel: bool = False
    enable_ep_weight_filter: bool = False
    all2all_backend: str = "allgather_reducescatter"
    enable_dbo: bool = False
    ubatch_size: int = 0
    enable_elastic_ep: bool = False
    dbo_decode_token_threshold: int = 32
    dbo_prefill_token_threshold: int = 512
    disable_nccl_for_dp_synchronization: bool | None = None
    enable_eplb: bool = False
    eplb_config: Any = _dict()
    expert_placement_strategy: str = "linear"
    max_parallel_loading_workers: int | None = None
    ray_workers_use_nsight: bool = False
    disable_custom_all_reduce: bool = False
    worker_cls: Any = "auto"
    worker_extension_cls: str = ""
    enable_fault_tolerance: bool = False
    fault_tolerance_config: Any = _dict()

    # KV cache
    block_size: int | None = None
    gpu_memory_utilization: float = 0.92
    kv_cache_memory_bytes: int | None = None
    kv_cache_dtype: str = "auto"
    num_gpu_blocks_override: int | None = None
    enable_prefix_caching: bool | None = None
    prefix_caching_hash_algo: str = "sha256"
    prefix_cache_retention_interval: int = 0
    kv_cache_dtype_skip_layers: list[str] = field(default_factory=list)
    kv_sharing_fast_prefill: bool = False
    mamba_cache_dtype: str = "auto"
    mamba_ssm_cache_dtype: str = "auto"
    mamba_block_size: int | None = None
    prefix_match_unit: int | None = None
    mamba_cache_mode: str = "none"
    replayssm_buffer_len: int = 16
    use_replayssm: bool = False
    kv_offloading_size: float | None = None
    kv_offloading_backend: str = "native"

    # Weights in host memory
    offload_backend: str = "auto"
    cpu_offload_gb: float = 0
    cpu_offload_params: Any = _dict()
    offload_group_size: int = 0
    offload_num_in_group: int = 1
    offload_prefetch_step: int = 1
    offload_params: Any = None

    # Media
    language_model_only: bool = False
    limit_mm_per_prompt: dict[str, Any] = _dict()
    enable_mm_embeds: bool = False
    media_io_kwargs: dict[str, Any] = _dict()
    mm_processor_kwargs: dict[str, Any] | None = None
    mm_processor_cache_gb: float = 4
    mm_processor_cache_type: str = "lru"
    mm_hasher_algorithm: str = "blake3"
    mm_shm_cache_max_object_size_mb: int = 128
    mm_encoder_only: bool = False
    mm_encoder_tp_mode: str = "weights"
    mm_encoder_attn_backend: Any = None
    mm_encoder_attn_dtype: str | None = None
    mm_encoder_fp8_scale_path: str | None = None
    mm_encoder_fp8_scale_save_path: str | None = None
    mm_encoder_fp8_scale_save_margin: float = 1.5
    interleave_mm_strings: bool = False
    skip_mm_profiling: bool = False
    video_pruning_rate: float | None = None
    video_pruning_method: str = "evs"
    mm_tensor_ipc: str = "direct_rpc"
    mm_processor_device: str = "auto"
    mm_ipc_gpu_memory_gb: float = 0
    mm_device_do_normalize: bool = True

    # Adapters
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    lora_dtype: Any = "auto"
    enable_tower_connector_lora: bool = False
    max_cpu_loras: int | None = None
    fully_sharded_loras: bool = False
    lora_target_modules: list[str] | None = None
    default_mm_loras: dict[str, str] | None = None
    specialize_active_lora: bool = False
    enable_mixed_moe_lora_format: bool = False
    enable_moe_shared_loras: bool = False

    # Observation
    show_hidden_metrics_for_version: str | None = None
    otlp_traces_endpoint: str | None = None
    collect_detailed_traces: list[str] | None = None
    kv_cache_metrics: bool = False
    kv_cache_metrics_sample: float = 0.01
    cudagraph_metrics: bool = False
    enable_layerwise_nvtx_tracing: bool = False
    enable_mfu_metrics: bool = False
    enable_logging_iteration_details: bool = False
    jit_monitor_mode: str = "warn"
    jit_monitor_verbose: bool = False
    disable_log_stats: bool = False
    aggregate_engine_logging: bool = False
    profiler_config: Any = None

    # Scheduling
    max_num_batched_tokens: int | None = None
    max_num_scheduled_tokens: int | None = None
    max_num_seqs: int | None = None
    long_prefill_token_threshold: int = 0
    scheduling_policy: str = "fcfs"
    enable_chunked_prefill: bool | None = None
    disable_chunked_mm_input: bool = False
    scheduler_cls: Any = None
    scheduler_reserve_full_isl: bool = True
    watermark: float = 0.0
    prefill_schedule_interval: int = 1
    disable_hybrid_kv_cache_manager: bool | None = None
    async_scheduling: bool | None = None
    stream_interval: int = 1

    # Compilation and kernels
    compilation_config: Any = _dict()
    attention_config: Any = _dict()
    kernel_config: Any = _dict()
    cudagraph_capture_sizes: list[int] | None = None
    max_cudagraph_capture_size: int | None = None
    ir_op_priority: Any = _dict()
    enable_flashinfer_autotune: bool | None = None
    enable_bf16x3_router_gemm: bool = False
    moe_backend: str = "auto"
    linear_backend: str = "auto"
    optimization_level: Any = 2
    performance_mode: str = "balanced"
    gdn_prefill_backend: str | None = None
    kda_prefill_backend: str | None = None

    # The rest
    speculative_config: dict[str, Any] | None = None
    spec_method: str | None = None
    spec_model: str | None = None
    spec_tokens: int | None = None
    diffusion_config: Any = None
    kv_transfer_config: Any = None
    kv_events_config: Any = None
    ec_transfer_config: Any = None
    ec_manager_config: Any = _dict()
    weight_transfer_config: Any = None
    fail_on_environ_validation: bool = False
    shutdown_timeout: int = 0
    additional_config: dict[str, Any] = _dict()
    """Options of the library by name, for those that have no field here."""

    # Of this library
    device: str = "auto"
    cpu_threads: int | None = None
    cpu_isa: str = "auto"
    max_num_queued_reqs: int | None = None
    max_num_queued_tokens: int | None = None
    deadline_admission: bool = False

    @staticmethod
    def add_cli_args(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Adds a flag for every field: --max-model-len, --no-enable-prefix-caching, ..."""
        for f in fields(EngineArgs):
            flag = "--" + f.name.replace("_", "-")
            if f.type in ("bool", "bool | None"):
                parser.add_argument(flag, action=argparse.BooleanOptionalAction,
                                    default=_default(f))
            else:
                parser.add_argument(flag, type=_flag_value, default=_default(f))
        return parser

    @classmethod
    def from_cli_args(cls, args: argparse.Namespace) -> "EngineArgs":
        """The fields that are in args."""
        names = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in vars(args).items() if name in names})

    def _changed(self) -> dict[str, Any]:
        """Fields without their default."""
        return {f.name: getattr(self, f.name) for f in fields(self)
                if getattr(self, f.name) is not None and getattr(self, f.name) != _default(f)}

    def engine_options(self) -> dict[str, Any]:
        """The library's options for these arguments.

        Raises:
            NotImplementedError: an argument that would change results and is not supported.
        """
        known = _ffi.option_names(_ffi.SCOPE_ENGINE)
        options: dict[str, Any] = {}
        for name, value in self._changed().items():
            value = _CONVERT[name](value) if name in _CONVERT else value
            if name in _OURS or value is None:
                continue
            if name in known:
                options[name] = value
            elif name in _HARMLESS or value in _HARMLESS_VALUES.get(name, ()):
                logger.warning("%s=%r has no effect in llmserve and is ignored", name, value)
            else:
                raise NotImplementedError(
                    f"{name}={value!r} is not supported by llmserve; "
                    f"{_WAY_OUT.get(name, f'leave it at {_default_of(name)!r}')}")
        spec = {"method": self.spec_method, "model": self.spec_model,
                "num_speculative_tokens": self.spec_tokens}
        spec = {name: value for name, value in spec.items() if value is not None}
        if spec:
            options["speculative_config"] = {**(self.speculative_config or {}), **spec}
        options.update((name.replace("-", "_"), value)
                       for name, value in self.additional_config.items())
        return options

    def model_path(self) -> str:
        """Where the weights are: model itself, or its snapshot in a local Hugging Face cache."""
        return resolve_model(self.model, self.revision, self.download_dir)


@dataclass
class AsyncEngineArgs(EngineArgs):
    """The same for AsyncLLM.

    Attributes:
        enable_log_requests: log each request as it comes in.
    """

    enable_log_requests: bool = False


# ---- Which is which -----------------------------------------------------------------------------

_OURS = {"model", "revision", "download_dir", "additional_config", "spec_method",
         "spec_model", "spec_tokens", "disable_log_stats", "enable_log_requests",
         "use_tqdm_on_load"}

_HARMLESS = set("""
    trust_remote_code allowed_local_media_path allowed_media_domains code_revision
    tokenizer_revision allow_deprecated_quantization enforce_eager use_fp64_gumbel
    disable_cascade_attn hf_token enable_sleep_mode enable_cumem_allocator model_impl
    renderer_num_workers safetensors_load_strategy safetensors_prefetch_num_threads
    safetensors_prefetch_block_size model_loader_extra_config ignore_patterns
    pt_load_map_location attention_backend mamba_backend mamba_ssu_algorithm reasoning_parser
    reasoning_parser_plugin structured_outputs_config distributed_executor_backend master_addr
    master_port distributed_timeout_seconds cpu_distributed_timeout_seconds numa_bind
    numa_bind_nodes numa_bind_cpus data_parallel_backend enable_expert_parallel
    enable_ep_weight_filter all2all_backend enable_dbo ubatch_size dbo_decode_token_threshold
    dbo_prefill_token_threshold disable_nccl_for_dp_synchronization enable_eplb eplb_config
    expert_placement_strategy max_parallel_loading_workers ray_workers_use_nsight
    disable_custom_all_reduce enable_fault_tolerance fault_tolerance_config
    prefix_caching_hash_algo prefix_cache_retention_interval kv_sharing_fast_prefill
    prefix_match_unit replayssm_buffer_len use_replayssm kv_offloading_size
    kv_offloading_backend offload_backend cpu_offload_gb cpu_offload_params offload_group_size
    offload_num_in_group offload_prefetch_step offload_params language_model_only
    limit_mm_per_prompt media_io_kwargs mm_processor_kwargs mm_processor_cache_gb
    mm_processor_cache_type mm_hasher_algorithm mm_shm_cache_max_object_size_mb
    mm_encoder_tp_mode mm_encoder_attn_backend mm_encoder_attn_dtype interleave_mm_strings
    skip_mm_profiling mm_tensor_ipc mm_processor_device mm_ipc_gpu_memory_gb
    mm_device_do_normalize max_loras max_lora_rank lora_dtype max_cpu_loras fully_sharded_loras
    show_hidden_metrics_for_version otlp_traces_endpoint collect_detailed_traces
    kv_cache_metrics kv_cache_metrics_sample cudagraph_metrics enable_layerwise_nvtx_tracing
    enable_mfu_metrics enable_logging_iteration_details jit_monitor_mode jit_monitor_verbose
    aggregate_engine_logging profiler_config max_num_scheduled_tokens disable_chunked_mm_input
    scheduler_reserve_full_isl watermark prefill_schedule_interval
    disable_hybrid_kv_cache_manager async_scheduling compilation_config attention_config
    kernel_config cudagraph_capture_sizes max_cudagraph_capture_size ir_op_priority
    enable_flashinfer_autotune enable_bf16x3_router_gemm moe_backend linear_backend
    optimization_level performance_mode gdn_prefill_backend kda_prefill_backend
    fail_on_environ_validation shutdown_timeout
""".split())

_HARMLESS_VALUES = {"runner": ("generate",), "convert": ("none",), "config_format": ("hf",)}

_WAY_OUT = {
    "logits_processors": "give SamplingParams(logits_processors=[function]) instead",
    "runner": "it generates only; leave it at 'auto'",
    "device_ids": "name one device, as in device='cuda:1'",
}


def _default(f: dataclasses.Field) -> Any:
    return f.default_factory() if f.default is dataclasses.MISSING else f.default


def _default_of(name: str) -> Any:
    return next(_default(f) for f in fields(EngineArgs) if f.name == name)


def _overrides(value: Any) -> Any:
    if callable(value):
        raise NotImplementedError("hf_overrides as a function is not supported by llmserve; give "
                                  "a dict that is laid over config.json")
    return value


_CONVERT = {
    "dtype": lambda value: str(value).rsplit(".", 1)[-1],       # torch.float16 as well
    "hf_overrides": _overrides,
    "served_model_name": lambda value: value if isinstance(value, str) else value[0],
    "tokenizer": os.fspath,
}


def _flag_value(text: str) -> Any:
    """A flag's value: a number or JSON if it reads as one, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- Files --------------------------------------------------------------------------------------

def _cache_folders(download_dir: str | None) -> list[str]:
    home = os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache",
                                                     "huggingface")
    folders = [download_dir, os.environ.get("HF_HUB_CACHE"), os.path.join(home, "hub")]
    return [folder for folder in folders if folder]


def resolve_model(model: Any, revision: str | None = None,
                  download_dir: str | None = None) -> str:
    """A path as it is; a repository's name (owner/name) as its snapshot in a local cache, since
    nothing is ever downloaded.  What is not found is given back for the library to refuse."""
    model = os.fspath(model)
    if os.path.exists(model) or model.count("/") != 1 or model.startswith((".", "/", "~")):
        return model
    for folder in _cache_folders(download_dir):
        repository = os.path.join(folder, "models--" + model.replace("/", "--"))
        snapshot = revision or "main"
        named = os.path.join(repository, "refs", snapshot)
        if os.path.exists(named):
            with open(named, encoding="utf-8") as f:
                snapshot = f.read().strip()
        path = os.path.join(repository, "snapshots", snapshot)
        if os.path.isdir(path):
            return path
    raise OSError(f"{model} is neither a path nor in a local Hugging Face cache; llmserve does "
                  "not download, give the path of a model directory or a .gguf file")


def read_template(template: str | None) -> str | None:
    """A chat template as text, or as the path of a file with it."""
    if template is None or "\n" in template or "{" in template:
        return template
    if not os.path.exists(template):
        raise ValueError(f"the chat template {template!r} is neither a file nor a Jinja template")
    with open(template, encoding="utf-8") as f:
        return f.read()
