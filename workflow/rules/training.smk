# Base models and every trained stage. A stage's files are its weights and a manifest, written last.

MODEL_JOB = (
    "--config {CONFIG} --model {wildcards.model} --unit {wildcards.unit} --seed {wildcards.seed}"
)


rule base_model:
    input:
        base_data,
    output:
        manifest=Path(PROJECT.config.models_dir) / "{model}@{revision}/manifest.json",
        weights=Path(PROJECT.config.models_dir) / "{model}@{revision}" / FULL_MODEL,
    log:
        LOGS / "base_model/{model}@{revision}.log",
    wildcard_constraints:
        revision=any_of(base_revision(PROJECT, model) for model in PROJECT.models),
    threads: THREADS.training
    resources:
        mem_mb=3000,
    message:
        "Base model {wildcards.model}: tokenizer and pretraining"
    shell:
        "python -m rllr base --config {CONFIG} --model {wildcards.model} > {log} 2>&1"


rule sft:
    input:
        base=base_of,
        data=unit_data,
        rationales=unit_rationales,
    output:
        manifest=LAYOUT.trained("{model}", "{sft_method}", "{unit}", "{seed}") / "manifest.json",
        weights=LAYOUT.trained("{model}", "{sft_method}", "{unit}", "{seed}") / SFT_WEIGHTS,
    log:
        LOGS / "sft/{model}.{sft_method}.{unit}.seed{seed}.log",
    params:
        slice=sft_slice,
    threads: THREADS.training
    resources:
        mem_mb=3000,
    message:
        "Train {wildcards.sft_method} of {wildcards.model} on {wildcards.unit}, seed {wildcards.seed}"
    shell:
        "python -m rllr sft --stage {wildcards.sft_method} " + MODEL_JOB + " > {log} 2>&1"


rule sample:
    input:
        base=base_of,
        start=sampled_stage,
    output:
        manifest=LAYOUT.samples("{model}", "{start}", "{unit}", "{seed}") / "manifest.json",
        samples=LAYOUT.samples("{model}", "{start}", "{unit}", "{seed}") / "samples.jsonl",
    log:
        LOGS / "sample/{model}.{start}.{unit}.seed{seed}.log",
    params:
        slice=sample_slice,
    threads: THREADS.inference
    resources:
        mem_mb=3000,
    message:
        "Sample responses of {wildcards.start} of {wildcards.model} ({wildcards.unit}, seed {wildcards.seed})"
    shell:
        "python -m rllr sample --stage {wildcards.start} " + MODEL_JOB + " > {log} 2>&1"


rule judge:
    input:
        samples=rules.sample.output.samples,
        data=unit_data,
    output:
        manifest=LAYOUT.rationale_pairs("{model}", "{start}", "{unit}", "{seed}") / "manifest.json",
        pairs=[
            LAYOUT.rationale_pairs("{model}", "{start}", "{unit}", "{seed}") / f"{name}.jsonl"
            for name in PAIRS
        ],
    log:
        LOGS / "judge/{model}.{start}.{unit}.seed{seed}.log",
    params:
        slice=judge_slice,
    resources:
        mem_mb=600,
    message:
        "Judge responses of {wildcards.start} of {wildcards.model} ({wildcards.unit}, seed {wildcards.seed})"
    shell:
        "python -m rllr judge --stage {wildcards.start} " + MODEL_JOB + " > {log} 2>&1"


rule reward_model:
    input:
        base=base_of,
        start=reward_start,
        pairs=reward_pairs,
    output:
        manifest=LAYOUT.trained("{model}", "{reward}", "{unit}", "{seed}") / "manifest.json",
        weights=LAYOUT.trained("{model}", "{reward}", "{unit}", "{seed}") / ADAPTER,
    log:
        LOGS / "reward_model/{model}.{reward}.{unit}.seed{seed}.log",
    params:
        slice=reward_slice,
    threads: THREADS.training
    resources:
        mem_mb=3000,
    message:
        "Train reward model {wildcards.reward} of {wildcards.model} on {wildcards.unit}, seed {wildcards.seed}"
    shell:
        "python -m rllr reward --stage {wildcards.reward} " + MODEL_JOB + " > {log} 2>&1"


rule ppo:
    input:
        base=base_of,
        data=unit_data,
        stages=ppo_stages,
    output:
        manifest=LAYOUT.trained("{model}", "{ppo_method}", "{unit}", "{seed}") / "manifest.json",
        weights=LAYOUT.trained("{model}", "{ppo_method}", "{unit}", "{seed}") / ADAPTER,
    log:
        LOGS / "ppo/{model}.{ppo_method}.{unit}.seed{seed}.log",
    params:
        slice=ppo_slice,
    threads: THREADS.training
    resources:
        mem_mb=3000,
    message:
        "Train {wildcards.ppo_method} of {wildcards.model} with PPO on {wildcards.unit}, seed {wildcards.seed}"
    shell:
        "python -m rllr ppo --stage {wildcards.ppo_method} " + MODEL_JOB + " > {log} 2>&1"
