"""A second beginning: texts that a person has, to the same rows that pages make. readers.py first."""
