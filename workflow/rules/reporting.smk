# Tables, figures and the report, from whatever metrics the grid names.


rule tables:
    input:
        every_metric(),
        every_summary(),
        every_comparison(),
    output:
        every_table(),
        grid=RUN / "grid.json",
    log:
        LOGS / "tables.log",
    localrule: True
    resources:
        mem_mb=1000,
    params:
        slice=digest(slices.grid(PROJECT)),
    message:
        "Tables"
    shell:
        f"python -m rllr tables {RUN} --config {CONFIG}" " > {log} 2>&1"


rule figures:
    input:
        rules.tables.output.grid,
        every_metric(),
        every_summary(),
    output:
        every_figure(),
    log:
        LOGS / "figures.log",
    localrule: True
    resources:
        mem_mb=1000,
    message:
        "Figures"
    shell:
        f"python -m rllr figures {RUN}" " > {log} 2>&1"


rule report:
    input:
        rules.tables.output,
        rules.figures.output,
        every_cell(),
    output:
        LAYOUT.report,
    log:
        LOGS / "report.log",
    localrule: True
    resources:
        mem_mb=1000,
    message:
        "Report"
    shell:
        f"python -m rllr report {RUN}" " > {log} 2>&1"


# No input on purpose: it aggregates what is there and never runs anything else.
rule partial_tables:
    log:
        LOGS / "partial_tables.log",
    localrule: True
    message:
        f"Tables of what exists so far, into {LAYOUT.tables}/partial"
    shell:
        f"python -m rllr tables {RUN} --config {CONFIG} --to {LAYOUT.tables}/partial"
        " > {log} 2>&1"
