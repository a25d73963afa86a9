import pytest

from webtext.pipeline.identity import domains


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.shop.example.co.uk/a", "example.co.uk"),
        ("http://a.b.example.com:8080/", "example.com"),
        ("http://www.example.co.uk/", "example.co.uk"),
        ("http://alice.blogspot.com/", "alice.blogspot.com"),
        ("https://someone.github.io/", "someone.github.io"),
        ("http://10.0.0.1:8080/", "10.0.0.1"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("http://localhost/", "localhost"),
        ("https://co.uk/", "co.uk"),
        ("books/moby-dick", ""),
    ],
)
def test_registered_domain(url, domain):
    assert domains.registered(url) == domain
