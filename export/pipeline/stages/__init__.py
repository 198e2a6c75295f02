"""One module a kind of format: what makes its artifacts, and what runs those that a page loads.

Importing them imports nothing heavy: tools are loaded when something is made. See `export/pipeline/stage.py`.
"""
