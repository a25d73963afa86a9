"""On PYTHONPATH, a clock that jumps by up to years at each look, in every process of a command."""

import random
import time

_now, _now_ns, _rng = time.time, time.time_ns, random.Random()
time.time = lambda: _now() + _rng.uniform(-1e8, 1e8)
time.time_ns = lambda: _now_ns() + _rng.randrange(-(10**17), 10**17)
