import pytest

from pipeline import domains


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.shop.example.co.uk/a", "example.co.uk"),
        ("https://someone.github.io/", "someone.github.io"),
        ("http://10.0.0.1:8080/", "10.0.0.1"),
        ("https://co.uk/", "co.uk"),
        ("books/moby-dick", ""),
    ],
)
def test_registered_domain(url, domain):
    assert domains.registered(url) == domain
