"""headstart's own decoder: causal, rotary positions, RMSNorm, SwiGLU, no biases, tied embeddings.

The shape is Llama's (Touvron et al. 2023), so its folders load in transformers as `LlamaForCausalLM`.
"""

from dataclasses import replace

from headstart.models.families.llama import LLAMA

HEADSTART_DECODER = replace(
    LLAMA,
    name="headstart-decoder",
    tokenizer="headstart",
    presets={},
    fixed={"architecture": "decoder", "position": "rotary", "norm": "rmsnorm", "feedforward": "swiglu"},
)
