"""Lists of what never leads to a page of text: domains and file types. They are data files with a source per entry."""

from dataclasses import dataclass
from importlib import resources
from typing import Self


@dataclass(frozen=True, slots=True)
class DomainList:
    """Domains, each with all its sub-domains."""

    domains: frozenset[str]

    @classmethod
    def load(cls, name: str) -> Self:
        """The list pipeline/links/data/domains-NAME.tsv; "none" is empty. Raises ValueError for an unknown name."""
        return cls(_entries("domains", name))

    def match(self, host: str) -> str | None:
        """The listed domain that the host is or belongs to, by whole labels: notimgur.com is not imgur.com's."""
        while host:
            if host in self.domains:
                return host
            host = host.partition(".")[2]
        return None


@dataclass(frozen=True, slots=True)
class FileTypeList:
    """Endings of file names, each with its dot, in lower case."""

    endings: frozenset[str]

    @classmethod
    def load(cls, name: str) -> Self:
        """The list pipeline/links/data/file-types-NAME.tsv; "none" is empty. Raises ValueError for an unknown name."""
        return cls(_entries("file-types", name))

    def match(self, path: str) -> str | None:
        """The listed ending of the last segment of a URL's path. Upper and lower case are the same."""
        _, dot, ending = path.rpartition(".")
        ending = dot + ending.lower()
        return ending if ending in self.endings else None


def _entries(kind: str, name: str) -> frozenset[str]:
    """The first column of a data file; `#` begins a comment line."""
    if name == "none":
        return frozenset()
    folder = resources.files("webtext.pipeline.links").joinpath("data")
    prefix, suffix = f"{kind}-", ".tsv"
    known = sorted(file.name[len(prefix) : -len(suffix)] for file in folder.iterdir() if file.name.startswith(prefix))
    if name not in known:
        raise ValueError(f"there is no list of {kind} named {name!r}: choose one of {', '.join([*known, 'none'])}")
    lines = folder.joinpath(f"{prefix}{name}{suffix}").read_text("utf-8").splitlines()
    return frozenset(line.split("\t")[0] for line in lines if line and not line.startswith("#"))
