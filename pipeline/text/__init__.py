"""What can be said of one text, wherever it is from. judge.py first: the steps in their order.

Pure: no file, no Beam, no archive.
"""
