"""What a plan rests on and no configuration says: every constant, with where it is from.

None of these is a measurement of this project's on a GPU; `benchmarks/size.py` measures some.
"""

from __future__ import annotations

GB = 1e9

# --- lengths, in tokens --------------------------------------------------------------------------

# Guess: instruction and chat format about 60, texts of the eight tasks about 30 to 120 (a Llama-2
# system text adds 140).
PROMPT = 200
# Guess: a label and its frame, and two sentences of rationale before it.
RESPONSE = {"label": 8, "rationale": 80}
# Guess: a batch is decoded until its last response ends, so many times the mean length.
LONGEST_OF_A_BATCH = 2.0
# Published sizes of the splits used as test splits (the data sets' pages); `sizes.test` cuts them.
TEST_SPLITS = {
    "mr": 1066,
    "sst2": 872,
    "mrpc": 1725,
    "qqp": 40430,
    "stsb": 1500,
    "mnli": 9815,
    "mnli_mm": 9832,
    "agnews": 7600,
}

# --- speed of one GPU ----------------------------------------------------------------------------

# NVIDIA's data sheet, H100 SXM and H200: dense bf16, without sparsity.
PEAK_FLOPS = 989e12
# NVIDIA's data sheet, H100 SXM (H200: 4.8e12).
BYTES_PER_SECOND = 3.35e12
# Share of the peak rate in training and in reading prompts: the goal of benchmarks/size.py is 0.45
# of the measured rate, which is about 0.7 of the data sheet's.
TRAINING_SHARE = 0.45 * 0.7
# Guess: share of the memory's rate that a decoding step reads weights and cache at.
READING_SHARE = 0.5
# Guess: the library's loop starts some twenty kernels per layer and token, from Python.
SECONDS_PER_LAYER_STEP = 1e-3
# Guess: imports, reading weights, saving.
SECONDS_PER_JOB = 180.0

# --- bytes ---------------------------------------------------------------------------------------

BYTES = {"fp32": 4, "bf16": 2}
# A trained parameter in fp32: itself, its gradient, AdamW's two moments.
TRAINED = 16
# CUDA's context, the libraries' workspaces, tiles of logits (TRL's and ours make them in pieces).
RUNTIME = 2 * GB
# What autograd keeps per token and layer of a bf16 model with a frozen base, in bytes. Counted with
# saved-tensor hooks on small models of transformers 5.23 and PEFT 0.21; a test repeats it.
KEPT_PER_HIDDEN = {"bloom": 18.0}  # per unit of hidden size; its MLP is 4 x hidden
KEPT_PER_HIDDEN_GATED = 16.0
KEPT_PER_INTERMEDIATE_GATED = 6.0  # gate, up and their product
# Per unit of hidden size and LoRA target: the input in fp32, or what dropout keeps of it.
KEPT_PER_TARGET = {"trainer": 6.0, "ppo": 4.0}
# Per head and token of context: attention weights where they are made (eager), or a bias (ALiBi).
KEPT_PER_CONTEXT = {"bloom": 6.0, "llama_alibi": 2.0}
# Passing without gradient, a layer at a time: copies of a hidden state and of the MLP's inner one.
PASSING_HIDDEN, PASSING_INTERMEDIATE = 6, 3
# Scores while they are made: themselves, their softmax in fp32, its cast; of ALiBi the bias alone.
PASSING_SCORES = {"bloom": 10.0, "llama_alibi": 4.0}
# Guess: text of one prediction on disk.
PREDICTION = 1500
# A checkpoint of what is trained: weights and AdamW's moments, in fp32.
CHECKPOINT = 12

NOTES = f"""\
tokens: a prompt {PROMPT}, a response {RESPONSE["rationale"]} with its rationale, \
{RESPONSE["label"]} without; a batch is decoded for {LONGEST_OF_A_BATCH:g} x the mean response
test examples: sizes.test, at most what the published test splits hold
GPU: {PEAK_FLOPS / 1e12:.0f} TFLOP/s bf16 and {BYTES_PER_SECOND / 1e12:.2f} TB/s (H100 SXM, data \
sheet), of which {TRAINING_SHARE:.0%} and {READING_SHARE:.0%} are reached
a decoding step takes at least {SECONDS_PER_LAYER_STEP * 1e3:g} ms per layer, a job \
{SECONDS_PER_JOB:.0f} s beside its work
disk: what is kept; fetching takes a model's size once more until it is converted
memory: rows as long as generation allows; {RUNTIME / GB:g} GB for CUDA and workspaces"""
