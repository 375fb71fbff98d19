"""Embedded: scikit-learn's handwritten digits, which need no download."""

from __future__ import annotations

import numpy as np

from chainrule.training.data.raw import Raw, RawPart


def read_digits() -> Raw:
    """1,797 images of 8x8 pixels, values 0 to 16 scaled to [0, 1] (Alpaydin & Kaynak 1998)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    names = tuple(str(name) for name in digits.target_names)
    return Raw("digits", "scikit-learn digits", names, RawPart(images, digits.target))
