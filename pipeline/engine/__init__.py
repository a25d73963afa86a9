"""How a stage runs, whatever it computes. stage.py first: parts, receipts, ledgers; then beam_stage.py.

Knows no page and no document.
"""
