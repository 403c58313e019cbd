"""The claims of the pages, one module a page; ``CLAIMS`` holds them all."""

from engine.claims import coupling, groups, landscape, norms, prior, schedules, step
from engine.claims.claim import CLAIMS, Claim, Measurement

__all__ = ["CLAIMS", "Claim", "Measurement", "coupling", "groups", "landscape", "norms", "prior", "schedules", "step"]
