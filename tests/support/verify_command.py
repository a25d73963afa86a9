"""`webtext verify` in this process."""

from webtext.jobs import cli


def check(corpus, capsys):
    """(exit status, problems)"""
    status = cli.main(["verify", str(corpus)])
    return status, capsys.readouterr().out.splitlines()
