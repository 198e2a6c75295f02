"""One module per kind of format, which makes its artifacts and runs those that a page loads.

Importing them imports nothing heavy: tools are loaded when something is made. See `export/pipeline/stage.py`.
"""
