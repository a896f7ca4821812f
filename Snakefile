# The grid: foundation model x task x method x seed, from data to tables.
#
#   snakemake -c2                          everything that the configuration names
#   snakemake -c2 --configfile my.yaml     a configuration of your own
#   snakemake -c2 results/tiny/cells/llama2-tiny/mnli/rllr/seed0/metrics.json     one cell
#   snakemake -c2 tables | figures | report | partial_tables
#   snakemake -c2 --sdm apptainer          every rule inside its container
#   snakemake --report results/tiny/snakemake.html       of a finished run: results, rules, times
#   snakemake --profile slurm              on a cluster; fill in slurm/site.yaml before
from snakemake.utils import min_version

min_version("9.0")

# Only without a --configfile: Snakemake would merge the two, and tiny's settings leak into yours.
if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/tiny.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/reporting.smk"


rule all:
    default_target: True
    input:
        every_model(),
        every_trained_stage(),
        every_cell(),
        every_comparison(),
        every_table(),
        every_figure(),
        LAYOUT.report,
    message:
        f"Done: tables in {LAYOUT.tables}, figures in {LAYOUT.figures}, report {LAYOUT.report}"
