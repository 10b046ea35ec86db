"""What a GPU proves and measures, one command a part: ``benchmarks/gpu/run.sh check | measure``.

The GPU is what is measured, so nothing here is left to the CPU for being faster there.
"""

import gpuzarr

gpuzarr.config.set({"route": "device"})
