"""Numbers in LaTeX."""

from __future__ import annotations

import math


def tex(value: float, digits: int = 4) -> str:
    """A number in LaTeX, of a few significant digits; powers of ten where it is tiny or huge."""
    if not math.isfinite(value):
        return r"\text{not finite}"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}"
        return text if "e" not in text else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa, power = f"{float(mantissa):g}", f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa}\cdot {power}"


def par(value: float) -> str:
    """A number as a factor or a summand: negative ones in parentheses."""
    return f"({tex(value)})" if value < 0 else tex(value)
