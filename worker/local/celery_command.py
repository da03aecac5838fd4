"""Celery's command line without its shell: `python -m worker.local.celery_command -A app worker`.

`celery` imports the packages of an interactive shell for brokers of another kind (click_repl and
prompt_toolkit) before it starts a worker. What `tagger up` starts does without: a tenth of a second
of a core for each of four processes, at the moment when all of them start at once.
"""

import sys
from types import ModuleType

from catalog.importing import imported


def without_shell() -> None:
    """Put a module that registers nothing in the place of the shell's."""
    shell = ModuleType("click_repl")
    shell.register_repl = lambda group: None  # type: ignore[attr-defined]
    sys.modules.setdefault("click_repl", shell)


if __name__ == "__main__":
    without_shell()
    run = imported("celery.__main__").main  # after it
    # Celery imports the tasks itself, later, with the garbage collector at work.
    app = sys.argv[sys.argv.index("-A") + 1]
    imported("worker.tasks" if app == "worker.app" else app)
    run()
