"""headstart's own decoder: causal, rotary positions, RMSNorm, SwiGLU, no biases, tied embeddings.

The shape is Llama's (Touvron et al. 2023), so its folders load in transformers as `LlamaForCausalLM`.
"""

from headstart.models.families.llama import HEADS, MODEL_TYPE, PREFIX, from_hf, to_hf, weights
from headstart.models.family import Preset

__all__ = ["HEADS", "MODEL_TYPE", "PREFIX", "from_hf", "to_hf", "weights"]

NAME = "headstart-decoder"
OBJECTIVE = "causal"
TOKENIZER = "headstart"
GROUPED_QUERY = True
PRESETS: dict[str, Preset] = {}
FIXED = {
    "architecture": "decoder",
    "position": "rotary",
    "norm": "rmsnorm",
    "feedforward": "swiglu",
}
