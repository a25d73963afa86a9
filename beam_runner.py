"""The corpus build under its Beam name: the flags of `webtext build` and Beam's own on one line, in any order.

python beam_runner.py --config webtext --submissions 'RS_2017-*.zst' --work gs://bucket/corpus --runner=DataflowRunner
"""

import sys
from collections.abc import Sequence

from webtext.jobs import cli
from webtext.jobs.beam_flags import separate
from webtext.jobs.build import BuildConfig
from webtext.jobs.config import spellings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the build. Returns the exit status."""
    args = list(sys.argv[1:] if argv is None else argv)

    def build() -> int:
        # It imports Beam, which worker processes that run this file have no use for.
        from webtext.pipeline.engine.beam_options import known_flags

        own, beam = separate(args, spellings(BuildConfig), known_flags())
        return cli.run_job("build", [*own, "--", *beam], prog="beam_runner.py")

    return cli.guard(build)


if __name__ == "__main__":
    sys.exit(main())
