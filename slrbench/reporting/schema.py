"""The JSON Schema of report.json, generated from the records; ``report.schema.json`` here is its published text."""

import json
from typing import Any

from slrbench.records import REPORT_SCHEMA_VERSION, Report

SCHEMA_NAME = "report.schema.json"


def report_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of this version; files of older versions, which have less, are valid under it too."""
    schema = Report.model_json_schema()
    schema["properties"]["schema_version"] = {
        "description": "format of the file; this schema describes the highest",
        "type": "integer",
        "minimum": 1,
        "maximum": REPORT_SCHEMA_VERSION,
    }
    schema["required"] = ["schema_version", *schema["required"]]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "slrbench report",
        "description": "What slrbench measured and derived. Seconds, bytes, shares; null where a figure is not known.",
    }
    return {**head, **{name: value for name, value in schema.items() if name not in head}}


def schema_text() -> str:
    """The schema as the published file has it."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"
