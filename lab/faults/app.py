"""The worker's own application, with a decoder that some pictures kill or hang.

Nothing else differs: `celery -A lab.faults.app worker`. No picture is known that makes the real
decoder crash (see `tagger bench fuzz`), so the fault is planted where one would strike: inside
the decoder, natively.
"""

import ctypes
import time
from typing import Any

from catalog.images.decode import decode
from worker.app import app as app
from worker.tagging import looking

# Every picture takes a little longer than it would, so that faults strike in the middle.
SLOWNESS_S = 0.03
CRASH, HANG, SLOW = b"tagger-fault:crash", b"tagger-fault:hang", b"tagger-fault:slow"
SLOW_S = 45.0


def treacherous_decode(data: bytes, **limits: Any) -> Any:
    """decode(), but for files that end in one of the marks."""
    if data.endswith(CRASH):
        ctypes.string_at(0)  # a real segmentation fault, which no except clause sees
    if data.endswith(HANG):
        ctypes.PyDLL(None).sleep(3600)  # keeps the interpreter's lock: nothing in Python helps
    time.sleep(SLOW_S if data.endswith(SLOW) else SLOWNESS_S)
    return decode(data, **limits)


looking.decode = treacherous_decode  # type: ignore[attr-defined]
