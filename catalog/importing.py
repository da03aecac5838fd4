"""Importing what a program runs, in two thirds of the time."""

import gc
import importlib
import sys
from types import ModuleType


def imported(name: str) -> ModuleType:
    """The module of that name, imported without the garbage collector's help.

    Imports make hundreds of thousands of objects that live until the end: to walk them again and
    again while they come, and at the exit, takes a third of the time of a short command.
    """
    if name in sys.modules:
        return sys.modules[name]
    enabled = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
