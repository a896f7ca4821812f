"""JSON schemas of the configuration files, generated from the typed classes."""

from __future__ import annotations

from pathlib import Path

from rllr.config.schema import MethodConfig, ModelConfig, RunConfig, Strict, TaskConfig
from rllr.files import write_json

SCHEMAS: dict[str, type[Strict]] = {
    "run": RunConfig,
    "model": ModelConfig,
    "task": TaskConfig,
    "method": MethodConfig,
}


def write_schemas(folder: Path) -> list[Path]:
    """Write `<name>.schema.json` for each kind of configuration file."""
    paths = {name: folder / f"{name}.schema.json" for name in SCHEMAS}
    for name, path in paths.items():
        write_json(path, SCHEMAS[name].model_json_schema())
    return list(paths.values())
