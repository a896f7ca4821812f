# From a source to splits, rationales and label-sensitive pairs; one quick job per task and stage.


rule data:
    output:
        manifest=LAYOUT.data("{task}") / "manifest.json",
        splits=expand(str(LAYOUT.data("{{task}}") / "{split}.jsonl"), split=SPLITS),
    log:
        LOGS / "data/{task}.log",
    params:
        slice=data_slice,
    resources:
        mem_mb=600,
    message:
        "Data of {wildcards.task}"
    shell:
        "python -m rllr data --config {CONFIG} --task {wildcards.task} > {log} 2>&1"


rule rationales:
    input:
        rules.data.output.manifest,
    output:
        manifest=LAYOUT.rationales("{task}") / "manifest.json",
    log:
        LOGS / "rationales/{task}.log",
    params:
        slice=rationales_slice,
    resources:
        mem_mb=600,
    message:
        "Rationales for {wildcards.task}"
    shell:
        "python -m rllr rationales --config {CONFIG} --task {wildcards.task} > {log} 2>&1"


rule label_pairs:
    input:
        rules.data.output.manifest,
        rules.rationales.output.manifest,
    output:
        manifest=LAYOUT.label_pairs("{task}") / "manifest.json",
        pairs=expand(str(LAYOUT.label_pairs("{{task}}") / "{name}.jsonl"), name=PAIRS),
    log:
        LOGS / "label_pairs/{task}.log",
    params:
        slice=label_pairs_slice,
    resources:
        mem_mb=600,
    message:
        "Label-sensitive pairs of {wildcards.task}"
    shell:
        "python -m rllr label-pairs --config {CONFIG} --task {wildcards.task} > {log} 2>&1"


rule baseline:
    input:
        rules.data.output.manifest,
    output:
        metrics=LAYOUT.baseline("{task}") / "metrics.json",
        predictions=LAYOUT.baseline("{task}") / "predictions.jsonl",
    log:
        LOGS / "baseline/{task}.log",
    params:
        slice=baseline_slice,
    resources:
        mem_mb=600,
    message:
        "Majority-class baseline of {wildcards.task}"
    shell:
        "python -m rllr baseline --config {CONFIG} --task {wildcards.task} > {log} 2>&1"
