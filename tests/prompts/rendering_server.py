"""A server for `test_render_pool.py` to kill: prints its template process's id, then renders or waits.

The argument is `idle`, or `busy` for a render that only the time it may take ends.
"""

import sys
import threading
import time

from myna.prompts.render_pool import RenderLimits, RenderPool

ENDLESS = "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}"


def main() -> None:
    pool = RenderPool(RenderLimits(cpu_s=2.0))
    pool.render("", {})
    print(*pool.pids, flush=True)
    if sys.argv[1] == "busy":
        threading.Thread(target=pool.render, args=(ENDLESS, {}), daemon=True).start()
        while pool.pids:
            time.sleep(0.01)
        print("rendering", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()
