"""Powers of ten, exact: int64 up to 10^18, float64 up to 10^22."""

from __future__ import annotations

import numpy as np

POWERS_OF_TEN = np.array([int("1" + "0" * i) for i in range(19)], np.int64)
FLOAT_POWERS_OF_TEN = np.array([float("1e" + str(i)) for i in range(23)])
