# From a source to splits, rationales and label-sensitive pairs; one quick job per task and stage.


rule data:
    input:
        source_files,
    output:
        manifest=LAYOUT.data("{task}") / "manifest.json",
        splits=expand(str(LAYOUT.data("{{task}}") / "{split}.jsonl"), split=SPLITS),
    log:
        LOGS / "data/{task}.log",
    localrule: True
    resources:
        mem_mb=600,
    params:
        slice=data_slice,
    message:
        "Data of {wildcards.task}"
    shell:
        f"python -m rllr data --config {CONFIG}"
        " --task {wildcards.task}"
        " > {log} 2>&1"


rule rationales:
    input:
        rules.data.output,
    output:
        manifest=LAYOUT.rationales("{task}") / "manifest.json",
        rationales=expand(
            str(LAYOUT.rationales("{{task}}") / "{split}.jsonl"), split=RATIONALES
        ),
    log:
        LOGS / "rationales/{task}.log",
    localrule: True
    threads: asking_threads(PROJECT.config.teacher)
    resources:
        mem_mb=600,
    params:
        slice=rationales_slice,
    message:
        "Rationales for {wildcards.task}"
    shell:
        f"python -m rllr rationales --config {CONFIG}"
        " --task {wildcards.task}"
        " > {log} 2>&1"


rule label_pairs:
    input:
        rules.data.output,
        rules.rationales.output,
    output:
        manifest=LAYOUT.label_pairs("{task}") / "manifest.json",
        pairs=expand(str(LAYOUT.label_pairs("{{task}}") / "{name}.jsonl"), name=PAIRS),
    log:
        LOGS / "label_pairs/{task}.log",
    localrule: True
    resources:
        mem_mb=600,
    params:
        slice=label_pairs_slice,
    message:
        "Label-sensitive pairs of {wildcards.task}"
    shell:
        f"python -m rllr label-pairs --config {CONFIG}"
        " --task {wildcards.task}"
        " > {log} 2>&1"


rule baseline:
    input:
        baseline_data,
    output:
        metrics=LAYOUT.baseline("{task}") / "metrics.json",
        predictions=LAYOUT.baseline("{task}") / "predictions.jsonl",
        manifest=LAYOUT.baseline("{task}") / "predictions.manifest.json",
    log:
        LOGS / "baseline/{task}.log",
    localrule: True
    resources:
        mem_mb=600,
    params:
        slice=baseline_slice,
    message:
        "Majority-class baseline of {wildcards.task}"
    shell:
        f"python -m rllr baseline --config {CONFIG}"
        " --task {wildcards.task}"
        " > {log} 2>&1"
