"""The corpus build on Apache Beam, in rooms along the flow. corpus.py is the recipe: read it first."""
