"""Repeated lines, copies, clusters, and the decision on each document. recipe.py first: the stages in their order."""
