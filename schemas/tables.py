"""Arrow schema of each stored table. The version in the metadata rises with any change that a reader would notice."""

import pyarrow as pa

KEY = pa.binary(16)  # link key: 128-bit hash of the canonical URL
SIGNATURE = pa.binary(512)  # 128 MinHash values, little-endian uint32


def _table(name: str, version: int, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={"webtext.table": f"{name}/{version}"})


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


POSTS = _table(
    "posts",
    1,
    [
        _required("key", KEY),
        _required("url", pa.string()),  # canonical, see pipeline.identity.urls
        _required("id", pa.string()),
        _required("score", pa.int64()),
        _required("created_utc", pa.int64()),
        _required("subreddit", pa.string()),
        _required("title", pa.string()),
    ],
)

# How many posts of each month had which score, for the health of the input: a histogram, so sums of parts are exact.
MONTHS = _table(
    "months",
    1,
    [
        _required("month", pa.int32()),  # since January 1970
        _required("score", pa.int32()),  # clipped, see pipeline.links.health
        _required("posts", pa.int64()),
        _required("aged", pa.int64()),  # of them with a known time at which the score was read
        _required("young", pa.int64()),  # of those read within a day of the post
        _required("age", pa.int64()),  # seconds from the post to the reading, summed over `aged`
    ],
)

LINKS = _table(
    "links",
    1,
    [
        _required("key", KEY),
        _required("url", pa.string()),
        _required("score", pa.int64()),
        _required("created_utc", pa.int64()),
        _required(
            "posts",
            pa.list_(
                pa.struct(
                    [
                        _required("id", pa.string()),
                        _required("score", pa.int64()),
                        _required("created_utc", pa.int64()),
                        _required("subreddit", pa.string()),
                        _required("title", pa.string()),
                    ]
                )
            ),
        ),
    ],
)

CAPTURES = _table(
    "captures",
    1,
    [
        _required("key", KEY),
        _required("url", pa.string()),
        _required("captured_utc", pa.int64()),
        _required("status", pa.int32()),
        _required("content_type", pa.string()),
        _required("verdict", pa.string()),  # a Reason, or "" for a capture that can be a page
        _required("digest", KEY),  # of the payload; decides between captures of one second
        _required("offset", pa.int64()),
    ],
)

# Captures that lead to a page elsewhere, and what pages can be called by beside their URLs.
DETOURS = _table(
    "detours",
    1,
    [
        _required("key", KEY),
        _required("offset", pa.int64()),
        _required("captured_utc", pa.int64()),
        _required("name", KEY),  # of the page: a link key, or the hash of a payload's digest
        _required("exact_utc", pa.int64()),  # when it was captured; 0 for the nearest capture
        _required("told", pa.string()),  # where it leads, for people
    ],
)
PAYLOADS = pa.schema(
    [
        _required("name", KEY),
        _required("captured_utc", pa.int64()),
        _required("digest", KEY),
        _required("offset", pa.int64()),
    ],
    metadata={"webtext.table": "payloads/1"},
)
# Pages that stand elsewhere under the keys of what leads to them, and what is to be looked for in the next round.
ANSWERS = _table(
    "answers",
    1,
    [
        _required("key", KEY),
        _required("captured_utc", pa.int64()),  # when what leads there was captured
        _required("archive", pa.uint32()),  # ordinal, as in stage `pages`
        _required("offset", pa.int64()),
        _required("digest", pa.uint64()),  # the first half
    ],
)
ASKS = pa.schema(
    [
        _required("name", KEY),
        _required("key", KEY),  # who asks
        _required("captured_utc", pa.int64()),  # when what leads there first was captured
        _required("wanted_utc", pa.int64()),
        _required("exact_utc", pa.int64()),
    ],
    metadata={"webtext.table": "asks/1"},
)

# Rows of Common Crawl's index that are captures of our links, from stage `index` to `commoncrawl`.
MATCHES = pa.schema(
    [
        _required("key", KEY),
        _required("url", pa.string()),  # of the capture, canonical
        _required("captured_utc", pa.int64()),
        _required("status", pa.int32()),
        _required("content_type", pa.string()),
        _required("verdict", pa.string()),  # as far as the index tells: a Reason or ""
        _required("digest", KEY),  # first 16 bytes of the SHA-1 of the payload
        _required("truncated", pa.string()),  # why the crawler cut the payload, or ""
        _required("file", pa.string()),  # behind the prefix
        _required("offset", pa.int64()),
        _required("length", pa.int64()),
    ],
    metadata={"webtext.table": "matches/1"},
)

PAGES = _table(
    "pages",
    2,
    [
        _required("key", KEY),
        _required("url", pa.string()),
        _required("score", pa.int64()),
        _required("created_utc", pa.int64()),
        _required("archive", pa.string()),
        _required("offset", pa.int64()),
        _required("captured_utc", pa.int64()),
        _required("digest", pa.uint64()),
    ],
)

# Where the robots.txt lies that counts for a page, from stage `robots` to `documents`.
ROBOTS = pa.schema(
    [
        _required("key", KEY),  # of the page
        _required("archive", pa.string()),
        _required("offset", pa.int64()),
    ],
    metadata={"webtext.table": "robots/1"},
)

# Given texts, sorted for stage `documents` of a build from them.
SORTED_TEXTS = pa.schema(
    [
        _required("key", KEY),
        _required("url", pa.string()),  # canonical, or a name as in names.py
        _required("score", pa.int64()),
        _required("created_utc", pa.int64()),
        _required("title", pa.string()),
        _required("length", pa.int64()),  # of the text, in characters
        _required("digest", KEY),  # decides between what is equal in all that counts
        _required("text", pa.string()),
    ],
)

DOCUMENTS = _table(
    "documents",
    3,
    [
        _required("key", KEY),
        _required("url", pa.string()),
        _required("score", pa.int64()),
        _required("created_utc", pa.int64()),
        _required("captured_utc", pa.int64()),
        _required("title", pa.string()),
        _required("published", pa.string()),  # ISO 8601 date by the page's own markup, or ""
        _required("html_lang", pa.string()),  # declared language tag, lower case, or ""; decides nothing
        _required("opt_out", pa.string()),  # "signal: line" of an opt-out that is not obeyed, or ""
        _required("page_kind", pa.string()),  # one of page_kind.KINDS, or "" for a text from no page
        _required("page_kind_certainty", pa.float32()),  # 0 (no sign) to 1
        _required("text", pa.string()),
        _required("length", pa.int64()),  # of the text, in characters
        _required("language_probability", pa.float32()),
        _required("tokens", pa.list_(_required("item", pa.uint16()))),
        _required("token_count", pa.int64()),
        _required("text_hash", KEY),
        _required("signature", SIGNATURE),
    ],
)

# What lines are compared by, from stage `lines` to `repeats`, and which of them to drop, from there to `paragraphs`.
LINE_HASHES = pa.schema([pa.field("hash", pa.uint64()), pa.field("id", pa.uint64())])
REPEATS = pa.schema(
    [
        pa.field("id", pa.uint64()),
        pa.field("hash", pa.uint64()),
        pa.field("documents", pa.int64()),  # of the domain that have the line
        pa.field("kept", pa.bool_()),  # by this one of them
    ]
)

REPEATED_LINES = _table(
    "repeated_lines",
    1,
    [  # one row per line that repeats over the documents of a domain
        _required("domain", pa.string()),  # registered domain; "" where a document's address is no URL
        _required("documents", pa.int64()),  # that had the line; all but one lost it
        _required("characters", pa.int64()),  # of the line
        _required("line", pa.string()),  # the beginning of it, as the document that keeps it has it
        _required("kept_key", KEY),
        _required("kept_url", pa.string()),
    ],
)

EDGES = _table(
    "edges",
    1,
    [  # document ids: part ordinal << 32 | row
        _required("a", pa.uint64()),
        _required("b", pa.uint64()),
    ],
)

# The sketches of documents with candidates, from stage `offers` to `pairs`.
OFFERS = pa.schema(
    [
        pa.field("a", pa.uint64()),
        pa.field("text_hash", pa.binary(16)),
        pa.field("sketch", pa.list_(pa.uint32())),
        pa.field("others", pa.list_(pa.uint64())),  # documents of one group, rising
    ]
)

LABELS = _table(
    "labels",
    1,
    [  # one row per document that is in a cluster
        _required("id", pa.uint64()),
        _required("label", pa.uint64()),  # the smallest id in the cluster
    ],
)

# The documents of clusters on their way to the group that decides, and the verdict on each on its way back.
MEMBERS = pa.schema(
    [
        pa.field("label", pa.uint64()),  # the cluster's smallest id
        pa.field("id", pa.uint64()),
        pa.field("key", pa.binary(16)),
        pa.field("url", pa.string()),
        pa.field("score", pa.int64()),
        pa.field("created_utc", pa.int64()),
        pa.field("length", pa.int64()),
        pa.field("text_hash", pa.binary(16)),
        pa.field("sketch", pa.list_(pa.uint32())),
    ]
)
VERDICTS = pa.schema(
    [
        pa.field("id", pa.uint64()),
        pa.field("cluster", pa.binary(16)),
        pa.field("reason", pa.string()),  # a Reason, or "" for the kept document
        pa.field("kept_url", pa.string()),
        pa.field("similarity", pa.float32()),
    ]
)

CLUSTERS = _table(
    "clusters",
    1,
    [
        _required("key", KEY),
        _required("url", pa.string()),
        _required("cluster", KEY),  # the smallest key in the cluster
        _required("kept", pa.bool_()),
        _required("kept_key", KEY),
        _required("kept_url", pa.string()),
        _required("similarity", pa.float32()),  # estimated Jaccard similarity to the kept document
        _required("reason", pa.string()),  # a Reason, or "" for the kept document
    ],
)

DOMAINS = _table(
    "domains",
    1,
    [
        _required("domain", pa.string()),  # registered domain; "" where a document's address is no URL
        _required("documents", pa.int64()),
        _required("copies", pa.int64()),  # of them dropped
    ],
)

SAMPLED_PAIRS = _table(
    "sampled_pairs",
    1,
    [
        _required("url", pa.string()),
        _required("other_url", pa.string()),
        _required("merged", pa.bool_()),
        _required("similarity", pa.float32()),  # exact Jaccard similarity of the 5-word shingles
    ],
)
DECISIONS = _table(
    "decisions",
    1,
    [  # one row per row of the documents part of the same name
        _required("split", pa.string()),  # "train" or "val"; "" for a document that is dropped
        _required("cluster", KEY),  # the document's own key where it has no copies
    ],
)

REJECTED = _table(
    "rejected",
    1,
    [
        _required("stage", pa.string()),
        _required("reason", pa.string()),
        _required("key", pa.binary()),  # 16 bytes, or none where no URL could be read
        _required("url", pa.string()),
        _required("detail", pa.string()),
    ],
)

DAMAGED = _table(
    "damaged",
    1,
    [  # one row for each input that is cut or damaged
        _required("path", pa.string()),
        _required("read", pa.int64()),  # records that could be read
        _required("why", pa.string()),
    ],
)

TOKENS = _table(
    "tokens",
    1,
    [
        _required("tokens", pa.list_(_required("item", pa.uint16()))),  # closed by end-of-text
        _required("key", KEY),
        _required("url", pa.string()),
    ],
)

TEXT = _table(
    "text",
    3,
    [
        _required("key", KEY),
        _required("url", pa.string()),
        _required("split", pa.string()),
        _required("score", pa.int64()),
        _required("created_utc", pa.int64()),
        _required("captured_utc", pa.int64()),
        _required("title", pa.string()),
        _required("published", pa.string()),
        _required("html_lang", pa.string()),
        _required("opt_out", pa.string()),
        _required("page_kind", pa.string()),
        _required("page_kind_certainty", pa.float32()),
        _required("text", pa.string()),
        _required("language_probability", pa.float32()),
        _required("token_count", pa.int64()),
        _required("cluster", KEY),
    ],
)
