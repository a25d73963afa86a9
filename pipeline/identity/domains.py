"""Registered domains: who is responsible for a host, as `example.co.uk` is for `www.shop.example.co.uk`."""

from functools import cache, lru_cache

import tldextract

from webtext.pipeline.identity import urls


@cache
def _suffixes() -> tldextract.TLDExtract:
    """The public suffix list that the library carries; nothing is downloaded or cached on disk."""
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


def registered(url: str) -> str:
    """The registered domain of a canonical URL's host; the host itself where it is an address or a bare suffix.

    Gives "" for what is no URL.
    """
    if not url.startswith(("http://", "https://")):  # the id of a text may have any form
        return ""
    return _of_host(urls.host_of(url))


@lru_cache(2**16)
def _of_host(host: str) -> str:
    return _suffixes()(host).top_domain_under_public_suffix or host
