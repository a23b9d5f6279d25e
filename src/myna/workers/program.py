"""How a worker process is started: which program, in which environment, and what ends with it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerProgram:
    """`module` is run by `python`, with the `variables` besides those that workers get anyway.
    `is_confined`: the kernel limits it to its model's files. `has_processes`: it starts others, which must
    end with it: it leads a session of its own, and gets `exit_s` to end them in order."""

    python: str = sys.executable
    module: str = "myna.workers.main"
    variables: Mapping[str, str] | None = None
    is_confined: bool = True
    has_processes: bool = False
    exit_s: float = 0.0


OWN = WorkerProgram()
