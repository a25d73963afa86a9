"""`webtext posts --praw` with the real PRAW against a real server on loopback that speaks Reddit's API."""

import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import praw.config
import pytest
import zstandard

from webtext.jobs import cli
from webtext.pipeline.links.dumps import Post, read_posts

ANSWERS = Path(__file__).resolve().parents[3] / "shared" / "data" / "reddit" / "praw_api_t3.ndjson.zst"
REACH = 1000
MADE_UP = [
    {"name": f"t3_{n:x}", "id": f"{n:x}", "created_utc": 1_500_000_000.0 + n, "score": n % 9, "title": f"post {n}"}
    | {"url": f"http://example.com/{n}?a=1&b=2", "subreddit": "python", "is_self": False, "over_18": False}
    for n in range(0x1000, 0x1000 + 350)
]


class Reddit(ThreadingHTTPServer):
    """Listings as Reddit gives them: newest first, 100 a page, none beyond REACH posts."""

    daemon_threads = True

    def __init__(self, posts):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts = sorted(posts, key=lambda post: int(post["name"][3:], 36))
        self.requests = []  # (seconds, path with query, user agent)
        self.scripted = []  # (status, headers) of the next answers
        self.limits = {"x-ratelimit-remaining": "500.0", "x-ratelimit-used": "1", "x-ratelimit-reset": "1"}

    @property
    def listed(self):
        return [request for request in self.requests if "access_token" not in request[1]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((time.monotonic(), self.path, self.headers["User-Agent"]))
        good = self.path == "/api/v1/access_token" and self.headers["Authorization"] == "Basic aWQ6c2VjcmV0"
        token = {"access_token": "token", "token_type": "bearer", "expires_in": 3600, "scope": "*"}
        self.answer(*((200, token) if good else (401, {"error": 401})))

    def do_GET(self):
        assert self.headers["Authorization"] == "bearer token"
        self.server.requests.append((time.monotonic(), self.path, self.headers["User-Agent"]))
        if self.server.scripted:
            status, headers = self.server.scripted.pop(0)
            if status != 200:
                return self.answer(status, {"message": "no"}, headers)
        else:
            headers = {}
        where = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(where.query).items()}
        kind, name, sort = where.path.strip("/").split("/")
        if name == "private":
            return self.answer(403, {"reason": "private", "error": 403})
        posts = [p for p in self.server.posts if kind == "r" or f"//{name}/" in p["url"]]
        posts = sorted(posts, key=lambda p: p["score"], reverse=True) if sort == "top" else posts[::-1]
        names = [post["name"] for post in posts[:REACH]]
        start = names.index(query["after"]) + 1 if "after" in query else 0
        page = posts[start : min(start + int(query["limit"]), REACH)]
        after = page[-1]["name"] if start + len(page) < len(names) else None
        children = [{"kind": "t3", "data": post} for post in page]
        return self.answer(
            200, {"kind": "Listing", "data": {"children": children, "after": after, "before": None}}, headers
        )

    def answer(self, status, body, headers=None):
        data = json.dumps(body).encode()
        self.send_response(status)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), **self.server.limits}
        for name, value in (fields | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def reddit(tmp_path, monkeypatch):
    server = Reddit(MADE_UP)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    config = tmp_path / "config"
    config.mkdir()
    url = f"http://127.0.0.1:{server.server_port}"
    ini = f"[DEFAULT]\noauth_url={url}\nreddit_url={url}\nuser_agent=tests of webtext\n"
    (config / "praw.ini").write_text(f"{ini}[bot]\nclient_id=id\nclient_secret=secret\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    monkeypatch.setattr(praw.config.Config, "CONFIG", None)
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(*args, status=0):
    assert cli.main(["posts", "--praw", "--out=out", "--site=bot", *args]) == status


def written(pattern="*.ndjson.zst"):
    found = []
    for path in sorted(Path("out").glob(pattern)):
        found += read_posts(io.BytesIO(path.read_bytes()), path.name, 3)
    return found


def test_what_the_api_can_not_do_is_said(reddit, capsys):
    with pytest.raises(SystemExit):
        cli.main(["links", "--help"])  # the command's former name
    assert "can't backfill" in " ".join(capsys.readouterr().out.split())
    ask("--subreddits", "python")
    assert "can't backfill" in capsys.readouterr().out


def test_a_listing_becomes_a_dump_that_a_build_reads(reddit, capsys):
    ask("--subreddits", "python")
    posts = written()
    assert [post.id for post in posts] == [post["id"] for post in MADE_UP]
    assert all(isinstance(post, Post) and post.retrieved_utc > post.created_utc for post in posts)
    assert posts[0].url == "http://example.com/4096?a=1&b=2"
    assert len(reddit.listed) == 4
    assert all("limit=100" in path and "raw_json=1" in path for _, path, _ in reddit.listed)
    assert reddit.requests[-1][2].startswith("tests of webtext")
    assert "r/python/new: 350 new posts -> out/r-python-new.00001.ndjson.zst" in capsys.readouterr().out


def test_the_next_run_writes_only_what_is_new(reddit):
    reddit.posts, later = reddit.posts[:300], reddit.posts[300:]
    ask("--subreddits", "python")
    ask("--subreddits", "python")  # nothing new: no file
    assert [path.name for path in Path("out").glob("r*")] == ["r-python-new.00001.ndjson.zst"]
    reddit.posts += later
    del reddit.posts[299]  # the post of the cursor was deleted
    reddit.requests.clear()
    ask("--subreddits", "python")
    assert len(reddit.listed) == 2  # the first page that has nothing new is the last
    assert [post.id for post in written("*00002*")] == [post["id"] for post in later]
    assert len({post.id for post in written()}) == len(written()) == 350
    state = json.loads(Path("out/cursors.json").read_text())
    assert state["r-python-new"]["newest"] == MADE_UP[-1]["name"]
    assert state["r-python-new"]["oldest"] == MADE_UP[0]["name"]
    assert state["r-python-new"]["posts"] == 350


def of_lately(hours):
    """The made-up posts, the newest three days old, the others each so many hours before the next."""
    now = time.time() - 3 * 86_400
    return [{**post, "created_utc": now - n * hours * 3600} for n, post in enumerate(MADE_UP[::-1])][::-1]


def ids(posts):
    return [post["id"] for post in posts]


@pytest.mark.parametrize("at_the_top", [False, True])
def test_posts_that_were_approved_late_are_caught_once(reddit, at_the_top):
    listed = of_lately(hours=0.5)  # a week
    late = [post for post in listed[40:340] if int(post["id"], 36) % 3 == 0]
    on_time = [post for post in listed if post not in late]
    reddit.posts = on_time[:-5]
    ask("--subreddits", "python")
    assert [post.id for post in written()] == ids(on_time[:-5])
    reddit.posts = on_time + late if at_the_top else listed
    ask("--subreddits", "python")
    assert sorted(post.id for post in written("*00002*")) == sorted(ids([*late, *on_time[-5:]]))
    reddit.posts = reddit.posts[:100] + reddit.posts[110:]  # some were removed again
    ask("--subreddits", "python")
    assert [path.name for path in sorted(Path("out").glob("r*"))][2:] == []
    reddit.posts = listed
    ask("--subreddits", "python")
    assert [path.name for path in sorted(Path("out").glob("r*"))][2:] == []
    assert sorted(post.id for post in written()) == sorted(ids(listed))


def test_two_weeks_are_looked_at_again_and_no_more(reddit):
    listed = of_lately(hours=3)  # two weeks end on the first page
    late = [listed[n] for n in (99, 345)]  # on the third page and on the first
    reddit.posts = [post for post in listed if post not in late]
    ask("--subreddits", "python")
    reddit.posts = [post for post in listed if post != late[1]]
    reddit.requests.clear()
    ask("--subreddits", "python")
    assert len(reddit.listed) == 2  # of four: all of the second is known and older
    assert len(written()) == 348
    reddit.posts = listed
    ask("--subreddits", "python")
    assert [post.id for post in written("*00002*")] == ids(late[1:])


def test_a_cursor_of_before_gives_no_duplicates(reddit):
    listed = of_lately(hours=0.5)
    reddit.posts = listed[:300]
    ask("--subreddits", "python")
    path = Path("out/cursors.json")
    state = json.loads(path.read_text())
    state["r-python-new"]["seen"] = []  # what they had for new posts
    path.write_text(json.dumps(state))
    for posts in (listed[:340], listed[:310] + listed[311:], listed):
        reddit.posts = posts
        ask("--subreddits", "python")
    assert [post.id for post in written()] == ids(listed)


def test_so_many_names_are_remembered_that_none_comes_twice(reddit):
    now = time.time() - 3 * 86_400
    listed = [
        {**MADE_UP[0], "name": f"t3_{n:x}", "id": f"{n:x}", "created_utc": now} for n in range(0x1000, 0x1000 + 2700)
    ]
    for end in (900, 1800, 2700):
        reddit.posts = listed[:end]
        ask("--subreddits", "python")
    reddit.posts = listed[:1200]  # the others were removed
    ask("--subreddits", "python")
    assert [post.id for post in written()] == ids(listed)
    assert len(json.loads(Path("out/cursors.json").read_text())["r-python-new"]["seen"]) == 2000


def test_killed_between_file_and_cursor_leaves_no_duplicates(reddit):
    ask("--subreddits", "python")
    Path("out/cursors.json").unlink()  # the cursor is written last
    ask("--subreddits", "python")
    assert len(written()) == 350


def test_posts_missed_between_two_runs_are_told(reddit, capsys):
    reddit.posts = reddit.posts[:10]
    ask("--subreddits", "python")
    assert "missed" not in capsys.readouterr().err
    reddit.posts = MADE_UP[50:]
    ask("--subreddits", "python")
    assert "posts in between are missed" in capsys.readouterr().err


def test_young_posts_wait(reddit, capsys):
    now = time.time() - 1800
    young = [{**post, "created_utc": now - n * 3600} for n, post in enumerate(MADE_UP[::-1])][::-1]
    reddit.posts = young
    ask("--subreddits", "python", "--min-age=100")
    assert "250 new posts, 100 too young" in capsys.readouterr().out
    ask("--subreddits", "python", "--min-age=0")
    assert len({post.id for post in written()}) == len(written()) == 350


def test_top_lists_and_domains(reddit):
    ask("--subreddits", "python", "--domains", "Example.com", "--sort=top", "--time=year")
    assert {query for _, path, _ in reddit.listed for query in [parse_qs(urlsplit(path).query)["t"][0]]} == {"year"}
    assert len(written("r-python-top-year.*")) == len(written("domain-example.com-top-year.*")) == 350
    reddit.posts = [*MADE_UP[:200], *MADE_UP[201:], {**MADE_UP[0], "name": "t3_zz", "id": "zz"}]
    ask("--subreddits", "python", "--sort=top", "--time=year")
    assert [post.id for post in written("r-python-top-year.00002*")] == ["zz"]


def test_the_rate_limit_is_obeyed(reddit):
    reddit.posts = reddit.posts[:150]
    reddit.scripted = [(200, {"x-ratelimit-remaining": "0.0", "x-ratelimit-used": "600", "x-ratelimit-reset": "2"})]
    ask("--subreddits", "python")
    (first, *_), (second, *_) = reddit.listed
    assert second - first >= 1.9


def test_too_many_requests_waits_as_long_as_it_says(reddit):
    reddit.posts = reddit.posts[:50]
    reddit.scripted = [(429, {"Retry-After": "1"}), (429, {"Retry-After": "1"})]
    ask("--subreddits", "python")
    times = [when for when, *_ in reddit.listed]
    assert len(times) == 3
    assert times[-1] - times[0] >= 1.9
    assert len(written()) == 50


def test_a_private_subreddit_does_not_stop_the_others(reddit, capsys):
    ask("--subreddits", "private", "python", status=1)
    assert "r/private/new: Reddit does not show it" in capsys.readouterr().err
    assert len(written()) == 350


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--site=DEFAULT", "--subreddits=python"], "no credentials for Reddit's API"),
        (["--site=other", "--subreddits=python"], "praw.ini has no section [other]"),
        (["--subreddits=a/../b"], "'a/../b' is no name of a subreddit"),
        (["--domains=a b"], "'a b' is no name of a domain"),
        ([], "give --subreddits or --domains"),
        (["--no-praw", "--subreddits=python"], "give --praw"),
    ],
)
def test_one_clear_line(reddit, capsys, args, message):
    with pytest.raises(SystemExit) if not args or args[0] == "--no-praw" else _Nothing():
        ask(*args, status=1)
    captured = capsys.readouterr()
    assert message in " ".join((captured.err + captured.out).replace("│", " ").split())
    assert not reddit.listed


class _Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


def test_credentials_that_reddit_refuses(reddit, capsys, monkeypatch):
    monkeypatch.setenv("praw_client_id", "other")  # the environment wins over praw.ini
    ask("--subreddits=python", status=1)
    assert "does not take the credentials" in capsys.readouterr().err


def test_a_server_that_is_gone(reddit, capsys):
    reddit.shutdown()
    reddit.server_close()
    ask("--subreddits=python", status=1)
    assert "Reddit can't be reached" in capsys.readouterr().err


def test_damaged_cursors_are_not_overwritten(reddit, capsys):
    Path("out").mkdir()
    for text in ("{", '{"r-python-new": {"newest": "../x"}}', '{"r-python-new": 5}'):
        Path("out/cursors.json").write_text(text)
        ask("--subreddits=python", status=1)
        assert "cursors.json" in capsys.readouterr().err
        assert Path("out/cursors.json").read_text() == text


def test_recorded_answers(reddit, capsys):
    if not ANSWERS.exists():
        pytest.skip(f"{ANSWERS.name} is not here")
    with ANSWERS.open("rb") as stream, zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(stream) as text:
        recorded = [json.loads(line) for line in text.read().splitlines()]
    by_name = {post["name"]: post for post in recorded}
    reddit.posts = sorted(by_name.values(), key=lambda post: int(post["name"][3:], 36))
    ask("--subreddits", "python")
    newest = [post["id"] for post in reddit.posts[-REACH:]]
    posts = written()
    assert [post.id for post in posts] == newest  # what the API does not show is not there
    for post in posts:
        original = by_name[f"t3_{post.id}"]
        assert (post.score, post.title, post.is_self) == (original["score"], original["title"], original["is_self"])
        assert post.url == original["url"].replace("&amp;", "&")
