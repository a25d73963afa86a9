def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="write what is measured into golden files; review their diff"
    )
