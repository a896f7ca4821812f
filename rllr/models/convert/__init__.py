"""Published weights into native transformers folders, without their code."""

from rllr.models.convert.convert import convert_model

__all__ = ["convert_model"]
