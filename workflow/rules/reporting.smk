# Tables, figures and the report, from whatever metrics the grid names.
#
# `snakemake --report FILE.html` shows them by section, with captions that the rules pass on.


rule tables:
    input:
        every_metric(),
        every_summary(),
        every_comparison(),
    output:
        shown(every_table()),
        grid=RUN / "grid.json",
    log:
        LOGS / "tables.log",
    localrule: True
    resources:
        mem_mb=1000,
    params:
        slice=digest(slices.grid(PROJECT)),
        captions=TABLE_CAPTIONS,
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
        shown(every_figure()),
    log:
        LOGS / "figures.log",
    localrule: True
    resources:
        mem_mb=1000,
    params:
        captions=FIGURE_CAPTIONS,
    message:
        "Figures"
    shell:
        f"python -m rllr figures {RUN}" " > {log} 2>&1"


rule report:
    input:
        every_table(),
        every_figure(),
        rules.tables.output.grid,
        every_cell(),
    output:
        report(
            LAYOUT.report,
            category="Report",
            caption="../report/report.rst",
            labels={"name": "Everything on one page"},
        ),
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
