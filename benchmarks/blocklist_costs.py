"""What each entry of the lists of domains costs: links that WebText kept, and posts of a dump.

Usage: python benchmarks/blocklist_costs.py DUMP > docs/blocklists.md
"""

import sys
from collections import Counter
from pathlib import Path

from webtext.pipeline.identity.urls import canonicalize, host_of
from webtext.pipeline.links.blocklists import DomainList
from webtext.pipeline.links.dumps import Post, read_posts

_DATA = Path(__file__).with_name("data")
_TWO_LABELS = {"co", "com", "org", "net", "ac", "gov"}  # in front of a country: amazon.co.uk

_HEAD = """# What the lists of domains cost

Made by `python benchmarks/blocklist_costs.py umbrae_top2013.ndjson.zst > docs/blocklists.md`.

"WebText" is the number of links under that name in domains.txt of openai/gpt-2, its 1,000 most frequent names
([data](../benchmarks/data/webtext-top1000.tsv)): an entry with links there drops what WebText kept. The file has names
without their ending and below 4,889 links none, so 0 stands for "not among them", and an entry for a part of a site
(itunes.apple.com) can't be weighed. "Posts" counts links out of Reddit among real top posts of 2006 to 2013 (a part of
umbrae/reddit-top-2.5-million).
"""


def listed_names() -> dict[str, int]:
    """Links of WebText by second-level name."""
    lines = _DATA.joinpath("webtext-top1000.tsv").read_text("utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return {name: int(links) for name, links in pairs}


def name_of(domain: str) -> str:
    """The second-level name of a whole site; "" for a part of one."""
    labels = domain.split(".")
    if len(labels) == 2 or (len(labels) == 3 and labels[1] in _TWO_LABELS and len(labels[2]) == 2):
        return labels[0]
    return ""


def cost(name: str) -> dict[str, int]:
    """Links of WebText that each entry of the list drops."""
    listed = listed_names()
    return {domain: listed.get(name_of(domain), 0) for domain in sorted(DomainList.load(name).domains)}


def posts_of(hosts: Counter[str], name: str) -> Counter[str]:
    """Posts that each entry of the list drops."""
    domains, found = DomainList.load(name), Counter[str]()
    for host, number in hosts.items():
        if domain := domains.match(host):
            found[domain] += number
    return found


def hosts_of(path: str) -> Counter[str]:
    """Links out of Reddit in a dump, by host."""
    hosts: Counter[str] = Counter()
    with open(path, "rb") as stream:
        for post in read_posts(stream, path, list_score=3):
            if isinstance(post, Post) and not post.is_self:
                try:
                    hosts[host_of(canonicalize(post.url))] += 1
                except ValueError:
                    continue
    return hosts


def main() -> None:
    """Print the page."""
    [path] = sys.argv[1:]
    hosts = hosts_of(path)
    total, posts = sum(listed_names().values()), hosts.total()
    print(_HEAD)
    print("| list | entries | links of WebText dropped | posts dropped |\n|---|---|---|---|")
    names = ("webtext", "openwebtext")
    for name in names:
        lost, dropped = sum(cost(name).values()), posts_of(hosts, name).total()
        shares = f"{lost:,} of {total:,} ({lost / total:.1%}) | {dropped:,} of {posts:,} ({dropped / posts:.1%})"
        print(f"| `{name}` | {len(cost(name))} | {shares} |")
    for name in names:
        print(f"\n## {name}\n\n| domain | WebText | share | posts |\n|---|---|---|---|")
        dropped = posts_of(hosts, name)
        costs = cost(name)
        for domain in sorted(costs, key=lambda domain: (-costs[domain], -dropped[domain], domain)):
            links = f"{costs[domain]:,} | {costs[domain] / total:.2%}" if name_of(domain) else "part of a site |"
            print(f"| {domain} | {links} | {dropped[domain]:,} |")


if __name__ == "__main__":
    main()
