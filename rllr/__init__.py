"""RLLR benchmark harness: label-sensitive rewards for language understanding, cell by cell."""

__version__ = "0.1.0"
