# One prediction job and one scoring job per trained model: they write the cells of all its tasks. Then
# the methods of a model meet under the judge.


rule predict:
    input:
        base=base_of,
        stages=predicted_stages,
        data=test_data,
    output:
        # update(): a rerun keeps the predictions of tasks whose inputs have not changed.
        update(cells_of_a_model("predictions.jsonl", PER_TASK)),
        update(cells_of_a_model("predictions.manifest.json", PER_TASK)),
    log:
        evaluation_log("predict", PER_TASK),
    wildcard_constraints:
        method=TRAINED_METHODS,
    retries: RETRIES
    threads: cpus("predict")
    resources:
        **compute("predict"),
    params:
        slice=predict_slice,
        unit=cell_unit,
    message:
        "Predict with {wildcards.method} of {wildcards.model} ({params.unit}, seed {wildcards.seed})"
    shell:
        f"python -m rllr predict --config {CONFIG}"
        " --model {wildcards.model} --stage {wildcards.method} --unit {params.unit} --seed {wildcards.seed}"
        " >> {log} 2>&1"


rule score:
    input:
        cells_of_a_model("predictions.jsonl", PER_TASK),
        cells_of_a_model("predictions.manifest.json", PER_TASK),
    output:
        cells_of_a_model("metrics.json", PER_TASK),
    log:
        evaluation_log("score", PER_TASK),
    wildcard_constraints:
        method=TRAINED_METHODS,
    localrule: True
    resources:
        mem_mb=600,
    params:
        slice=score_slice,
        unit=cell_unit,
    message:
        "Score {wildcards.method} of {wildcards.model} ({params.unit}, seed {wildcards.seed})"
    shell:
        f"python -m rllr score --config {CONFIG}"
        " --model {wildcards.model} --stage {wildcards.method} --unit {params.unit} --seed {wildcards.seed}"
        " > {log} 2>&1"


# A method that trains nothing has one job for all tasks, in either scope.
use rule predict as predict_untrained with:
    output:
        update(cells_of_a_model("predictions.jsonl", False)),
        update(cells_of_a_model("predictions.manifest.json", False)),
    log:
        evaluation_log("predict", False),
    wildcard_constraints:
        method=UNTRAINED_METHODS,


use rule score as score_untrained with:
    input:
        cells_of_a_model("predictions.jsonl", False),
        cells_of_a_model("predictions.manifest.json", False),
    output:
        cells_of_a_model("metrics.json", False),
    log:
        evaluation_log("score", False),
    wildcard_constraints:
        method=UNTRAINED_METHODS,
    localrule: True


rule judge_test:
    input:
        responses=compared_responses,
        data=compared_data,
    output:
        manifest=LAYOUT.judged("{model}", "{unit}", "{seed}") / "manifest.json",
        comparisons=LAYOUT.judged("{model}", "{unit}", "{seed}") / "comparisons.jsonl",
    log:
        LOGS / "judge_test/{model}.{unit}.seed{seed}.log",
    localrule: True
    threads: asking_threads(PROJECT.config.judge)
    resources:
        mem_mb=600,
    params:
        slice=judge_test_slice,
    message:
        "Judge test responses of {wildcards.model} ({wildcards.unit}, seed {wildcards.seed})"
    shell:
        f"python -m rllr judge-test --config {CONFIG}"
        " --model {wildcards.model} --unit {wildcards.unit} --seed {wildcards.seed}"
        " > {log} 2>&1"
