"""Links to the page of each. stages.py first: archives that are there, and the choice among captures.

Two more sources of captures stand beside it, crawl/ and commoncrawl/; the three know nothing of one another.
"""
