# Base models and every trained stage. A stage's files are its weights and a manifest, written last.


rule base_model:
    input:
        base_data,
    output:
        manifest=Path(PROJECT.config.models_dir) / "{model}@{revision}/manifest.json",
        weights=Path(PROJECT.config.models_dir) / "{model}@{revision}" / MODEL_INDEX,
        config=Path(PROJECT.config.models_dir) / "{model}@{revision}/config.json",
        tokenizer=Path(PROJECT.config.models_dir) / "{model}@{revision}" / TOKENIZER,
    log:
        LOGS / "base_model/{model}@{revision}.log",
    wildcard_constraints:
        model=any_of(models_from("tiny")),
        revision=any_of(base_revision(PROJECT, model) for model in PROJECT.models),
    retries: RETRIES
    threads: cpus("base")
    resources:
        **compute("base"),
    message:
        "Base model {wildcards.model}: tokenizer and pretraining"
    shell:
        f"python -m rllr base --config {CONFIG}"
        " --model {wildcards.model}"
        " >> {log} 2>&1"


# Fetching needs the network, which compute nodes may not have, and nothing of the run's own.
use rule base_model as fetch_model with:
    input:
        [],
    log:
        LOGS / "fetch_model/{model}@{revision}.log",
    wildcard_constraints:
        model=any_of(models_from("hub")),
        revision=any_of(base_revision(PROJECT, model) for model in PROJECT.models),
    retries: 0
    localrule: True
    threads: 1
    resources:
        mem_mb=6000,
    message:
        "Base model {wildcards.model}: fetch and convert it"


rule sft:
    input:
        base=base_of,
        data=unit_data,
        rationales=sft_rationales,
    output:
        manifest=LAYOUT.trained("{model}", "{sft_method}", "{unit}", "{seed}")
        / "manifest.json",
        weights=LAYOUT.trained("{model}", "{sft_method}", "{unit}", "{seed}")
        / SFT_WEIGHTS,
        config=LAYOUT.trained("{model}", "{sft_method}", "{unit}", "{seed}")
        / config_of(SFT_WEIGHTS),
    log:
        LOGS / "sft/{model}.{sft_method}.{unit}.seed{seed}.log",
    retries: RETRIES
    threads: cpus("sft")
    resources:
        **compute("sft"),
    params:
        slice=sft_slice,
    message:
        "Train {wildcards.sft_method} of {wildcards.model} on {wildcards.unit}, seed {wildcards.seed}"
    shell:
        f"python -m rllr sft --config {CONFIG}"
        " --stage {wildcards.sft_method} --model {wildcards.model} --unit {wildcards.unit} --seed {wildcards.seed}"
        " >> {log} 2>&1"


rule sample:
    input:
        base=base_of,
        start=sampled_stage,
    output:
        manifest=LAYOUT.samples("{model}", "{start}", "{unit}", "{seed}")
        / "manifest.json",
        samples=LAYOUT.samples("{model}", "{start}", "{unit}", "{seed}")
        / "samples.jsonl",
    log:
        LOGS / "sample/{model}.{start}.{unit}.seed{seed}.log",
    retries: RETRIES
    threads: cpus("sample")
    resources:
        **compute("sample"),
    params:
        slice=sample_slice,
    message:
        "Sample responses of {wildcards.start} of {wildcards.model} ({wildcards.unit}, seed {wildcards.seed})"
    shell:
        f"python -m rllr sample --config {CONFIG}"
        " --stage {wildcards.start} --model {wildcards.model} --unit {wildcards.unit} --seed {wildcards.seed}"
        " >> {log} 2>&1"


rule judge:
    input:
        samples=rules.sample.output.samples,
        data=unit_data,
    output:
        manifest=LAYOUT.rationale_pairs("{model}", "{start}", "{unit}", "{seed}")
        / "manifest.json",
        pairs=[
            LAYOUT.rationale_pairs("{model}", "{start}", "{unit}", "{seed}")
            / f"{name}.jsonl"
            for name in PAIRS
        ],
    log:
        LOGS / "judge/{model}.{start}.{unit}.seed{seed}.log",
    localrule: True
    threads: asking_threads(PROJECT.config.judge)
    resources:
        mem_mb=600,
    params:
        slice=judge_slice,
    message:
        "Judge responses of {wildcards.start} of {wildcards.model} ({wildcards.unit}, seed {wildcards.seed})"
    shell:
        f"python -m rllr judge --config {CONFIG}"
        " --stage {wildcards.start} --model {wildcards.model} --unit {wildcards.unit} --seed {wildcards.seed}"
        " > {log} 2>&1"


rule reward_model:
    input:
        base=base_of,
        start=reward_start,
        pairs=reward_pairs,
        samples=reward_samples,
    output:
        manifest=LAYOUT.trained("{model}", "{reward}", "{unit}", "{seed}")
        / "manifest.json",
        weights=LAYOUT.trained("{model}", "{reward}", "{unit}", "{seed}") / ADAPTER,
        config=LAYOUT.trained("{model}", "{reward}", "{unit}", "{seed}")
        / config_of(ADAPTER),
        rewards=LAYOUT.trained("{model}", "{reward}", "{unit}", "{seed}")
        / SAMPLE_REWARDS,
    log:
        LOGS / "reward_model/{model}.{reward}.{unit}.seed{seed}.log",
    retries: RETRIES
    threads: cpus("reward")
    resources:
        **compute("reward"),
    params:
        slice=reward_slice,
    message:
        "Train reward model {wildcards.reward} of {wildcards.model} on {wildcards.unit}, seed {wildcards.seed}"
    shell:
        f"python -m rllr reward --config {CONFIG}"
        " --stage {wildcards.reward} --model {wildcards.model} --unit {wildcards.unit} --seed {wildcards.seed}"
        " >> {log} 2>&1"


rule policy:
    input:
        base=base_of,
        data=unit_data,
        stages=policy_stages,
        pairs=policy_pairs,
    output:
        manifest=LAYOUT.trained("{model}", "{rl_method}", "{unit}", "{seed}")
        / "manifest.json",
        weights=LAYOUT.trained("{model}", "{rl_method}", "{unit}", "{seed}") / ADAPTER,
        config=LAYOUT.trained("{model}", "{rl_method}", "{unit}", "{seed}")
        / config_of(ADAPTER),
    log:
        LOGS / "policy/{model}.{rl_method}.{unit}.seed{seed}.log",
    retries: RETRIES
    threads: cpus("policy")
    resources:
        **compute("policy"),
    params:
        slice=policy_slice,
    message:
        "Train {wildcards.rl_method} of {wildcards.model} on rewards ({wildcards.unit}, seed {wildcards.seed})"
    shell:
        f"python -m rllr policy --config {CONFIG}"
        " --stage {wildcards.rl_method} --model {wildcards.model} --unit {wildcards.unit} --seed {wildcards.seed}"
        " >> {log} 2>&1"
