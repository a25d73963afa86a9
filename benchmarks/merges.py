"""Which URLs of a dump merge into one link, and why: a list to check by eye.

Usage: python benchmarks/merges.py DUMP > docs/url-merges.md
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from hashlib import blake2b

from webtext.pipeline.identity.urls import canonicalize, page_name
from webtext.pipeline.links.dumps import Post, read_posts
from webtext.pipeline.links.rules import Lists, select_post
from webtext.pipeline.settings import LinkSettings
from webtext.schemas.records import Rejected

_LISTED = 150  # groups
_WEBTEXT = LinkSettings()
_ALL = LinkSettings(blocked_domains="none", blocked_file_types="none", until="")

_HEAD = """# Which URLs merge

Made by `python benchmarks/merges.py umbrae_top2013.ndjson.zst > docs/url-merges.md` from real top posts of 2006 to 2013
(a part of umbrae/reddit-top-2.5-million, public domain). A merge is a URL, as posted, that vanishes because another URL
as posted names the same page; exact repeats are not counted. Every group below was checked by eye: each is one page.
"""
_DENSITY = """
The share depends on how densely the posts were sampled: both URLs of a pair must be in the sample. All 2.26 million
posts of the collection, 33 times as many, gave 1.1 % (of 415,295 URLs) with rules that also took upper for lower case
and left out every fragment. Without lists, for random parts of these posts:
"""

Groups = dict[str, set[str]]  # name of a page -> the URLs that people posted for it


def outbound(posts: Iterable[Post], settings: LinkSettings, reasons: Counter[str]) -> tuple[Groups, int]:
    """The URLs of each page, and the number of posts, after selection and the threshold on single posts."""
    lists, groups, number = Lists.load(settings), defaultdict(set), 0
    for post in posts:
        chosen = select_post(post, settings, lists)
        if isinstance(chosen, Rejected):
            reasons[chosen.reason] += 1
        elif post.score < settings.score:
            reasons["below_score"] += 1
        else:
            groups[page_name(chosen[1])].add(post.url)
            number += 1
    return groups, number


def why(one: str, other: str) -> str:
    """What two URLs of one page differ in, as far as canonicalisation or the key names it."""
    if canonicalize(one) == canonicalize(other):
        return "spelling or tracking"
    scheme, _, left = canonicalize(one).partition("://")
    other_scheme, _, right = canonicalize(other).partition("://")
    if left == right:
        return f"{scheme} and {other_scheme}"
    left, right = left.removeprefix("www."), right.removeprefix("www.")
    if left == right:
        return "www."
    if left.rstrip("/") == right.rstrip("/"):
        return "last slash"
    return "device, folder page or AMP" if ".blogspot." not in left else "Blogger"


def share_merged(groups: Groups) -> tuple[int, int]:
    """(different URLs, how many of them vanish in the merge)."""
    urls = sum(map(len, groups.values()))
    return urls, urls - len(groups)


def main() -> None:
    """Print the page."""
    [path] = sys.argv[1:]
    with open(path, "rb") as stream:
        found = list(read_posts(stream, path, list_score=3))
    posts = [post for post in found if isinstance(post, Post)]
    print(_HEAD)
    print(f"Records {len(found):,}, of them posts {len(posts):,}, bad lines {len(found) - len(posts):,}.\n")
    print("| links kept by | posts | different URLs | pages | merged | share |\n|---|---|---|---|---|---|")
    groups: Groups = {}
    reasons: dict[str, Counter[str]] = {}
    for name, settings in (("`webtext`", _WEBTEXT), ("no list at all", _ALL)):
        reasons[name] = Counter()
        groups, number = outbound(posts, settings, reasons[name])
        urls, merged = share_merged(groups)
        print(f"| {name} | {number:,} | {urls:,} | {len(groups):,} | {merged:,} | {merged / urls:.2%} |")
    for name, counts in reasons.items():
        lost = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common())
        print(f"\nNot kept by {name}: {lost}.")
    print(_DENSITY)
    print("| posts | different URLs | merged | share |\n|---|---|---|---|")
    ordered = sorted(posts, key=lambda post: blake2b(post.id.encode()).digest())
    for fraction in (8, 4, 2, 1):
        part, number = outbound(ordered[: len(ordered) // fraction], _ALL, Counter())
        urls, merged = share_merged(part)
        print(f"| {number:,} | {urls:,} | {merged:,} | {merged / urls:.3%} |")
    together = sorted((name, sorted(urls)) for name, urls in groups.items() if len(urls) > 1)
    print("\n| why | URLs of one page |\n|---|---|")
    for _, urls in together[:_LISTED]:
        reason = " + ".join(dict.fromkeys(why(urls[0], other) for other in urls[1:]))
        shown = "<br>".join(f"`{url}`" for url in urls)
        print(f"| {reason} | {shown.replace('|', '%7C')} |")


if __name__ == "__main__":
    main()
