from hypothesis import settings

# A time limit per example fails on a busy machine, and tells nothing on a quiet one.
settings.register_profile("webtext", deadline=None)
settings.load_profile("webtext")


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="write what is measured into golden files; review their diff"
    )
