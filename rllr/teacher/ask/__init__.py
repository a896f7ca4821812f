"""Asking language models: what is asked, where answers are kept, and who answers."""
